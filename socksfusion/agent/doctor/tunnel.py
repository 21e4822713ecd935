"""What stands on the connection: TLS, the certificates, the tunnel's protocol, the registration."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import TimeoutError as TookTooLong

from socksfusion.agent import advice
from socksfusion.agent.doctor.findings import Finding, Trouble
from socksfusion.agent.doctor.look import exemption
from socksfusion.agent.doctor.visit import AskingVisit, VisitEnded
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import is_tunnel, refused_issuer, verify_error, verify_proxy_name
from socksfusion.log import printable
from socksfusion.wire.control_messages import ASK, PROTOCOL, Hello, Refused, Standing
from socksfusion.wire.messages import Message


async def check_tls(reactor: Any, visit: AskingVisit, copy: AgentCopy, proxy: str, seconds: float) -> Finding:
    """TLS 1.3 with a certificate of the copy's CA."""
    try:
        await visit.secured.addTimeout(seconds, reactor)
    except TookTooLong:
        raise Trouble(
            "tls",
            f"{proxy} took the connection and did not answer TLS within {seconds:g} s",
            f"who runs your firewall whether it holds TLS to {proxy} up; then the Proxy's operator",
            ExitCode.TLS,
        )
    except VisitEnded as ended:
        raise _tls_trouble(ended, visit, copy, proxy)
    return Finding("tls", f"TLS 1.3 stands with {proxy}, and nothing on the way opens it")


def _tls_trouble(ended: VisitEnded, visit: AskingVisit, copy: AgentCopy, proxy: str) -> Trouble:
    if ended.tls is None:
        text = f"{proxy} closed the connection during the TLS handshake ({printable(str(ended))})"
        ask = f"who runs your firewall whether it lets TLS to {proxy} pass unopened; then the Proxy's operator"
        return Trouble("tls", text, ask, ExitCode.TLS)
    text = advice.tls_failed(ended.tls, visit.connection, copy, proxy)
    code = verify_error(visit.connection)
    if code is None:
        ask = f"the Proxy's operator whether {proxy} is a Proxy of SocksFusion; then who runs your firewall"
        return Trouble("tls", text, ask, ExitCode.TLS)
    if code in advice.ABOUT_DATES:
        return Trouble(
            "certificate",
            text,
            "who runs this machine whether its clock is right; then the Proxy's operator to restart it",
            ExitCode.CLOCK,
        )
    issuer = refused_issuer(visit.connection)
    seen = f"'{printable(issuer)}'" if issuer else "somebody without a name"
    return Trouble(
        "certificate",
        text,
        exemption(proxy, seen),
        ExitCode.CERTIFICATE,
    )


def check_peer(visit: AskingVisit, proxy: str) -> Iterator[Finding]:
    """Whether it is a Proxy, and the one of that name."""
    if not is_tunnel(visit.connection):
        raise Trouble(
            "protocol",
            f"what answers at {proxy} is not a Proxy of SocksFusion (no such protocol in its TLS handshake, ALPN)",
            "the Proxy's operator whether address and port are right, and nothing in front of it ends TLS",
            ExitCode.TLS,
        )
    yield Finding("protocol", "it is a Proxy of SocksFusion (ALPN)")
    try:
        verify_proxy_name(visit.connection, visit.host)
    except OperatorError as error:
        raise Trouble("certificate", str(error), "the Proxy's operator for the right name", ExitCode.CERTIFICATE)
    yield Finding("certificate", f"it is of this copy's installation, for {printable(visit.host)}")


async def check_registration(reactor: Any, visit: AskingVisit, copy: AgentCopy, proxy: str, seconds: float) -> Finding:
    """How this copy's key stands at the Proxy: asked without serving, so that nothing changes."""
    hello = await _next(reactor, visit, copy, proxy, seconds)
    if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
        raise _not_understood(proxy)
    if ASK not in hello.features:
        return Finding(
            "registration",
            f"not asked: this Proxy ({printable(hello.program)}) would take the question for an Agent that comes",
            left_out=True,
        )
    visit.ask()
    match await _next(reactor, visit, copy, proxy, seconds):
        case Standing(agent, pending, serving):
            return Finding("registration", _standing(printable(agent), pending=pending, serving=serving))
        case Refused("replaced", detail):
            raise Trouble(
                "registration",
                f"a newer copy of this agent was verified ({printable(detail)})",
                "nobody: run the newer copy, and delete this one",
                ExitCode.REPLACED,
            )
        case Refused("unknown", detail):
            raise Trouble(
                "registration",
                f"this agent is not registered ({printable(detail)})",
                f"the Proxy's operator whether agent {copy.agent} was revoked, and for a new copy",
                ExitCode.NOT_REGISTERED,
            )
    raise _not_understood(proxy)


def _standing(agent: str, *, pending: bool, serving: bool) -> str:
    if pending:
        older = ", where an older copy serves until then" if serving else ""
        return f"this is a new copy of {agent}{older}; the first Agent that connects with it takes it up"
    if serving:
        return f"registered as {agent}; an Agent with this copy serves now, so a second one would have to wait"
    return f"registered as {agent}; no Agent serves with it now"


async def _next(reactor: Any, visit: AskingVisit, copy: AgentCopy, proxy: str, seconds: float) -> Message:
    try:
        return await visit.next_message().addTimeout(seconds, reactor)
    except TookTooLong:
        why = f"{proxy} said nothing for {seconds:g} s"
    except VisitEnded as ended:
        if ended.tls is not None:
            # in TLS 1.3 a server judges the other's certificate after the handshake seems done
            raise Trouble(
                "registration",
                advice.tls_failed(ended.tls, visit.connection, copy, proxy),
                "the Proxy's operator for a copy of this installation",
                ExitCode.CERTIFICATE,
            )
        why = f"{proxy} closed the connection ({printable(str(ended))})"
    raise Trouble("registration", why, "the Proxy's operator what its log says", ExitCode.REGISTRATION)


def _not_understood(proxy: str) -> Trouble:
    return Trouble(
        "registration",
        f"the Proxy at {proxy} speaks another version of the protocol",
        "the Proxy's operator for the Agent that belongs to it",
        ExitCode.REGISTRATION,
    )
