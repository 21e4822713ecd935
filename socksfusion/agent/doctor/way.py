"""The way to the Proxy: the name, the network's own proxy, TCP."""

from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import DNSLookupError
from twisted.python.failure import Failure

from socksfusion.agent import advice
from socksfusion.agent.doctor.findings import Finding, Trouble
from socksfusion.agent.doctor.visit import AskingVisit
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.names import Resolver
from socksfusion.agent.outbound.errors import OutboundFailed
from socksfusion.agent.ways import Way
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.names import is_address
from socksfusion.log import printable


async def check_name(resolver: Resolver, way: Way) -> Finding:
    """Whether the name that this machine has to resolve has an address: the outbound proxy's, where there is one."""
    name = way.host if way.outbound is None else way.outbound.host
    beside = "" if way.outbound is None else f"; {printable(way.host)} is for the outbound proxy to resolve"
    if is_address(name):
        return Finding("name", f"{name} is an address{beside}")
    try:
        addresses = await resolver.resolve(name)
    except ConnectFailed as failed:
        raise Trouble(
            "name",
            f"{printable(name)} can't be resolved on this machine ({failed})",
            f"who runs the DNS here, to let this machine resolve {printable(name)}, unless the name is wrong",
            ExitCode.NAME,
        )
    return Finding("name", f"{printable(name)} is {', '.join(addresses)}{beside}")


async def check_connection(reactor: Any, way: Way, visit: AskingVisit) -> Finding:
    """A TCP connection to the Proxy, which ``visit`` gets, through the outbound proxy where there is one."""
    outbound = way.outbound
    step = "tcp" if outbound is None else "outbound"
    try:
        await way.endpoint.connect(visit).addTimeout(way.seconds, reactor)
    except OutboundFailed as failed:
        assert outbound is not None
        raise Trouble(
            step,
            str(failed),
            f"who runs {outbound.name}, to let this machine connect to {_place(way)} by CONNECT, without opening TLS",
            ExitCode.OUTBOUND,
        )
    except Exception as failed:
        raise Trouble(step, advice.no_connection(Failure(failed), way.proxy), _whom(failed, way), ExitCode.UNREACHABLE)
    if outbound is not None:
        return Finding(step, f"{outbound.name} connects to {_place(way)}")
    return Finding(step, f"{way.proxy} is reached at {visit.peer}")


def _whom(failed: Exception, way: Way) -> str:
    if isinstance(failed, DNSLookupError):
        return "who runs the DNS here"
    if isinstance(failed, Refused):
        return f"the Proxy's operator whether it listens on {_place(way)}; then who runs your firewall"
    return f"who runs your firewall, to allow TCP from this machine to {_place(way)}"


def _place(way: Way) -> str:
    return way.proxy.partition(" ")[0]
