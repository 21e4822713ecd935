"""One call of the Agent at its Proxy: what is said on the control stream, and who takes the streams that come."""

import secrets
from collections.abc import Callable
from typing import Final, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime
from twisted.internet.protocol import Factory

from socksfusion.agent.messages import Messages
from socksfusion.errors import OperatorError
from socksfusion.identity.names import is_address
from socksfusion.identity.tls import is_tunnel, verify_proxy_name
from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.wire.control_messages import (
    NARROW,
    PROTOCOL,
    UDP,
    Hello,
    Refused,
    Running,
    ScanFinished,
    ScanStarted,
    Welcome,
)
from socksfusion.wire.messages import Message
from socksfusion.wire.yamux.session import Session

FEATURES: Final = (UDP, NARROW)
"""What an Agent tells that it can do."""


class Caller(Protocol):
    """Who makes the calls and decides what follows from them."""

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


class CallFactory(Factory):
    """Makes a carrier, with a :class:`Call` as its owner, of each connection to the Proxy.

    The Proxy's certificate must be for ``host``. ``build_target`` makes the protocol of each stream that the Proxy
    opens, for the peer of that name. ``caller`` is set by who dials, and ``host`` before each dial.
    """

    noisy = False
    caller: Caller

    def __init__(
        self,
        reactor: IReactorTime,
        host: str,
        context: SSL.Context,
        make_session: Callable[[float], Session],
        refusals: Refusals,
        messages: Messages,
        build_target: Callable[[str], IProtocol],
    ) -> None:
        self.host = host
        self.messages = messages
        self.build_target = build_target
        self.program_id = secrets.token_hex(16)
        self._reactor = reactor
        self._context = context
        self._make_session = make_session
        self._refusals = refusals

    def buildProtocol(self, addr: IAddress | None) -> Carrier:
        """The carrier of one call."""
        # an address literal is no server name (RFC 6066, section 3)
        server_name = None if is_address(self.host) else self.host
        call = Call(self)
        call.carrier = Carrier(
            self._reactor,
            self._context,
            call,
            self._make_session,
            self._refusals,
            server=False,
            server_name=server_name,
        )
        return call.carrier


class Call:
    """The Agent's side of one carrier (a ``CarrierOwner``).

    ``proxy_program`` is what the Proxy told of itself, ``welcomed`` and ``refused`` whether it took the Agent in or
    sent it away. The functions in ``ended`` are called once the carrier is gone.
    """

    carrier: Carrier

    def __init__(self, calls: CallFactory) -> None:
        self._calls = calls
        self.control: ControlProtocol | None = None
        self.ended: list[Callable[[], None]] = []
        self.proxy_program = ""
        self.proxy_features: tuple[str, ...] = ()
        self.welcomed = False
        self.refused = False

    # -- CarrierOwner ----------------------------------------------------------------------------------------------

    def handshaken(self, carrier: Carrier) -> None:
        """The certificate is of the CA; is it the Proxy's, under the name that we dialled?"""
        if not is_tunnel(carrier.tls.connection):
            carrier.abort("what answers is not a Proxy of SocksFusion (no such protocol in its TLS handshake)")
            return
        try:
            verify_proxy_name(carrier.tls.connection, self._calls.host)
        except OperatorError as error:
            carrier.abort(str(error))

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        """The first stream is the control stream, the others are Clients'."""
        if self.control is None:
            self.control = ControlProtocol(self._received, self._control_failed, self._control_ended)
            return self.control
        return self._calls.build_target(peer)

    def lost(self, carrier: Carrier, why: str) -> None:
        """The carrier is gone."""
        self._calls.caller.lost(self, why)
        for ended in self.ended:
            ended()

    # -- the control stream ----------------------------------------------------------------------------------------

    def _received(self, message: Message) -> None:
        caller = self._calls.caller
        match message:
            case Hello():
                self._hello(message)
            case Welcome() if not self.welcomed:
                self.welcomed = True
                caller.welcomed(self, message.agent)
            case Refused() if not self.refused:
                self.refused = True
                caller.refused(self, message)
            case Running():
                self._calls.messages.running()
            case ScanStarted():
                caller.scan_started(message)
            case ScanFinished():
                caller.scan_finished(message.scan)

    def _hello(self, message: Hello) -> None:
        if self.control is None or self.proxy_program:
            return
        self.proxy_program = message.program
        self.proxy_features = tuple(message.features)
        self._calls.messages.established()
        if message.protocol != PROTOCOL:
            self.carrier.abort(
                f"the Proxy speaks version {message.protocol} of the protocol and this Agent version {PROTOCOL}: "
                "install the Agent that belongs to the Proxy"
            )
            return
        self.control.say_hello(self._calls.program_id, FEATURES)

    def _control_failed(self, why: str) -> None:
        self.carrier.fail(f"control stream: {why}")

    def _control_ended(self) -> None:
        self.carrier.end("the Proxy ended the control stream")
