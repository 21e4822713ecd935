"""One call of the Agent at its Proxy: what is said on the control stream, and who takes the streams that come."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IProtocol

from socksfusion import __version__
from socksfusion.agent.messages import Messages
from socksfusion.errors import OperatorError
from socksfusion.identity.tls import is_tunnel, verify_proxy_name
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.wire.messages import (
    MINOR,
    PROTOCOL,
    Hello,
    Message,
    Refused,
    Running,
    ScanFinished,
    ScanStarted,
    Welcome,
)


class Caller(Protocol):
    """Who makes the calls and decides what follows from them."""

    host: str
    program_id: str
    messages: Messages
    build_target: Callable[[str], IProtocol]

    def welcomed(self, call: "Call", agent: str) -> None:
        """The Proxy took the Agent in, under this name."""

    def refused(self, call: "Call", message: Refused) -> None:
        """The Proxy did not."""

    def scan_started(self, message: ScanStarted) -> None:
        """A scan runs."""

    def scan_finished(self, scan: str) -> None:
        """A scan is over."""

    def lost(self, call: "Call", why: str) -> None:
        """The call is over."""


class Call:
    """The Agent's side of one carrier (a ``CarrierOwner``)."""

    carrier: Carrier

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.control: ControlProtocol | None = None
        self.ended: list[Callable[[], None]] = []
        self.proxy_program = ""
        self._welcomed = False

    # -- CarrierOwner ----------------------------------------------------------------------------------------------

    def handshaken(self, carrier: Carrier) -> None:
        """The certificate is of the CA; is it the Proxy's, under the name that we dialled?"""
        if not is_tunnel(carrier.tls.connection):
            carrier.abort("what answers is not a Proxy of SocksFusion (no such protocol in its TLS handshake)")
            return
        try:
            verify_proxy_name(carrier.tls.connection, self._caller.host)
        except OperatorError as error:
            carrier.abort(str(error))

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        """The first stream is the control stream, the others are Clients'."""
        if self.control is None:
            self.control = ControlProtocol(self._received, self._control_failed, self._control_ended)
            return self.control
        return self._caller.build_target(peer)

    def lost(self, carrier: Carrier, why: str) -> None:
        """The carrier is gone."""
        self._caller.lost(self, why)
        for ended in self.ended:
            ended()

    # -- the control stream ----------------------------------------------------------------------------------------

    def _received(self, message: Message) -> None:
        caller = self._caller
        match message:
            case Hello():
                self._hello(message)
            case Welcome() if not self._welcomed:
                self._welcomed = True
                caller.welcomed(self, message.agent)
            case Refused():
                caller.refused(self, message)
            case Running():
                caller.messages.running()
            case ScanStarted():
                caller.scan_started(message)
            case ScanFinished():
                caller.scan_finished(message.scan)

    def _hello(self, message: Hello) -> None:
        if self.control is None or self.proxy_program:
            return
        self.proxy_program = message.program
        self._caller.messages.established()
        if message.protocol != PROTOCOL:
            self.carrier.abort(
                f"the Proxy speaks version {message.protocol} of the protocol and this Agent version {PROTOCOL}: "
                "install the Agent that belongs to the Proxy"
            )
            return
        self.control.send(
            Hello(
                protocol=PROTOCOL,
                minor=MINOR,
                program=f"socksfusion/{__version__}",
                features=[],
                program_id=self._caller.program_id,
            )
        )

    def _control_failed(self, why: str) -> None:
        self.carrier.fail(f"control stream: {why}")

    def _control_ended(self) -> None:
        self.carrier.end("the Proxy ended the control stream")
