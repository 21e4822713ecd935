"""A second look where TLS 1.3 does not stand: what opens TLS on the way may know TLS 1.2 alone, and then shows itself.

It has no certificate and says one message of TLS, its first: it leaves when the other's certificate has come.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from socksfusion.agent.doctor.findings import Trouble
from socksfusion.agent.ways import Way
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.names import is_address
from socksfusion.identity.tls import look_context, old_issuer
from socksfusion.log import printable
from socksfusion.tunnel.tls import TLSMachine


async def look_again(reactor: Any, way: Way, seconds: float) -> Trouble | None:
    """Connect anew, with TLS 1.2 allowed; what is wrong where that answers, or None where this tells no more."""
    look = _Look(way.host)
    try:
        await way.endpoint.connect(look).addTimeout(way.seconds, reactor)
        shown = await look.shown.addTimeout(seconds, reactor)
    except Exception:
        # the first look is what is told
        return None
    finally:
        look.leave()
    if shown is None:
        return None
    issuer = f"'{printable(shown[0])}'" if shown[0] else "somebody without a name"
    return Trouble(
        "certificate",
        f"what answers at {way.proxy} speaks TLS 1.2, not 1.3 as a Proxy does, with a certificate issued by {issuer}: "
        "something on the way opens TLS, or another service is there",
        exemption(way.proxy, issuer),
        ExitCode.CERTIFICATE,
    )


def exemption(proxy: str, issuer: str) -> str:
    """What to ask where TLS to ``proxy`` is opened, and a certificate by ``issuer`` is shown."""
    return (
        f'who runs your firewall or web filter: "Please exempt TCP connections to {proxy} from TLS inspection. They '
        f"are mutually authenticated and can't be opened; at present a certificate issued by {issuer} is shown there\""
    )


class _Look(Factory):
    """Makes one connection; ``shown`` fires with the issuer as ``old_issuer`` tells it, or with None at its end."""

    noisy = False

    def __init__(self, host: str) -> None:
        self.shown: Deferred[tuple[str | None] | None] = Deferred()
        self._host = host
        self._made: _Looking | None = None

    def buildProtocol(self, addr: IAddress | None) -> "_Looking":
        self._made = _Looking(self, self._host)
        return self._made

    def leave(self) -> None:
        if self._made is not None and self._made.transport is not None:
            transport: Any = self._made.transport
            transport.abortConnection()

    def tell(self, shown: tuple[str | None] | None) -> None:
        if not self.shown.called:
            self.shown.callback(shown)


class _Looking(Protocol):
    """Takes the handshake as far as the other's certificate."""

    def __init__(self, look: _Look, host: str) -> None:
        self._look = look
        self._tls = TLSMachine(look_context(), server=False, server_name=None if is_address(host) else host)

    def connectionMade(self) -> None:
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        self._tls.receive_data(data)
        shown = old_issuer(self._tls.connection)
        if shown is not None or self._tls.handshaken or self._tls.failure is not None:
            self._look.tell(shown)
        else:
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._look.tell(None)

    def _flush(self) -> None:
        transport: Any = self.transport
        transport.write(self._tls.data_to_send())
