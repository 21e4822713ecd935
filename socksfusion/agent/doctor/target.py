"""A first target: the name, the policy's word, and one connection that is closed at once."""

from socksfusion.agent.dial import Dialler
from socksfusion.agent.doctor.findings import Finding, Trouble
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.names import Resolver
from socksfusion.agent.policy import Policy, literal
from socksfusion.agent.rules import plain_name
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.names import format_proxy
from socksfusion.log import printable


async def check_target(
    resolver: Resolver, dialler: Dialler, policy: Policy, host: str, port: int, seconds: float
) -> Finding:
    """What the Agent would make of a request for ``host`` and ``port``."""
    shown = printable(format_proxy(host, port))
    is_name = literal(host) is None
    name = plain_name(host) if is_name else ""
    try:
        addresses = await resolver.resolve(host) if is_name else [host]
    except ConnectFailed as failed:
        whom = f"who runs the DNS here about {printable(host)}, unless the name is wrong"
        raise Trouble("target", f"{shown}: {failed}", whom, ExitCode.TARGET)
    decisions = [policy.check(address, port, name=name) for address in addresses]
    allowed = [decision for decision in decisions if decision.allowed]
    if not allowed:
        why = "; ".join(f"{decision.address}: {printable(decision.text) or decision.rule}" for decision in decisions)
        whom = "who writes this Agent's rules, if it is to be reached"
        raise Trouble("target", f"{shown} is denied ({why})", whom, ExitCode.DENIED)
    try:
        connected = await dialler.dial([decision.address for decision in allowed], port, seconds)
    except ConnectFailed as failed:
        whom = f"who runs {printable(host)} whether it listens there, and who runs the firewalls between"
        raise Trouble("target", f"{shown} gives no connection: {failed}", whom, ExitCode.TARGET)
    where = connected.getPeer()
    connected.abortConnection()
    by = next((decision for decision in allowed if decision.address == where.host), allowed[0])
    rule = printable(by.text) or by.rule
    return Finding("target", f"{shown} is reached at {where.host} (allowed by: {rule})")
