"""One Agent's connection to the Proxy: from TLS through hello to welcome or refusal, then for as long as it serves."""

from typing import Final, Literal, Protocol

from twisted.internet.interfaces import IProtocol

from socksfusion.identity.tls import is_tunnel, peer_key_digest
from socksfusion.registry.schema import Snapshot
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.tunnel.stream import StreamTransport
from socksfusion.wire.control_messages import ASK, PAUSE, PROTOCOL, Hello, Refused, Standing, Welcome
from socksfusion.wire.messages import Message

FEATURES: Final = (PAUSE, ASK)
"""What a Proxy tells that it can do."""

Reason = Literal["replaced", "unknown", "duplicate", "version"]

REFUSAL_TEXTS: dict[Reason, str] = {
    "replaced": "a newer copy of this agent was verified",
    "unknown": "its key is not registered, or was revoked or has expired",
    "duplicate": "another program with the same key serves",
    "version": f"this Proxy speaks version {PROTOCOL} of the protocol",
}


class Gate(Protocol):
    """What a visit asks of who decides about it."""

    program_id: str
    heartbeat_seconds: float

    @property
    def snapshot(self) -> Snapshot:
        """The registry as last seen."""

    def judge(self, visit: "Visit") -> None:
        """The visitor has said hello: welcome or refuse it, now or soon."""

    def heard(self, visit: "Visit", message: Message) -> None:
        """The visitor, which has said hello, has sent another message."""

    def gone(self, visit: "Visit", why: str) -> None:
        """The visit is over."""


class Visit:
    """The Proxy's side of one carrier (a ``CarrierOwner``).

    ``digest`` is the SHA-256 of the Agent's public key, ``agent`` the name that the registry has for it (empty until
    known), ``hello`` what the Agent told of itself, ``since`` when it was welcomed (seconds on the reactor's clock),
    ``looked_up`` whether the registry was read anew for it, ``refused`` whether it was told no, or only asked.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.carrier: Carrier | None = None
        self.control = ControlProtocol(self._received, self._control_failed, self._control_ended)
        self.digest = b""
        self.agent = ""
        self.hello: Hello | None = None
        self.since: float | None = None
        self.looked_up = False
        self.refused = False
        self._over = False

    @property
    def peer(self) -> str:
        """``address:port`` of the Agent, for logs."""
        return self.carrier.peer if self.carrier is not None else "unknown"

    @property
    def over(self) -> bool:
        """Whether it was refused, or its carrier is ending or gone."""
        return self._over or (self.carrier is not None and self.carrier.closing)

    @property
    def serving(self) -> bool:
        """Whether it was welcomed and still stands."""
        return self.since is not None and not self.over

    @property
    def open_streams(self) -> int:
        """Streams of Clients that are open on the carrier: all but the control stream."""
        return max(len(self.carrier.session.streams) - 1, 0) if self.carrier is not None else 0

    # -- CarrierOwner ----------------------------------------------------------------------------------------------

    def handshaken(self, carrier: Carrier) -> None:
        """The certificate is the CA's: whose is it? The Proxy speaks first."""
        self.carrier = carrier
        if not is_tunnel(carrier.tls.connection):
            carrier.end("it offers no version of the tunnel's protocol that this Proxy speaks (ALPN)")
            return
        self.digest = peer_key_digest(carrier.tls.connection)
        key = self._gate.snapshot.keys.get(self.digest)
        self.agent = key.agent if key is not None else ""
        carrier.open_stream(self._control_opened)

    def stream_opened(self, carrier: Carrier, peer: str) -> IProtocol:
        """Never called: an Agent opens no streams, and the session resets those that it tries."""
        raise AssertionError("the Proxy's session accepts no streams")

    def lost(self, carrier: Carrier, why: str) -> None:
        """The carrier is gone."""
        self._over = True
        self.carrier = carrier
        self._gate.gone(self, why)

    # -- decisions -------------------------------------------------------------------------------------------------

    def welcome(self) -> None:
        """Let it serve."""
        if self.carrier is None or self.over:
            return
        self.since = self.carrier.seconds()
        self.control.send(Welcome(agent=self.agent, heartbeat=self._gate.heartbeat_seconds))

    def refuse(self, reason: Reason) -> None:
        """Tell it why not, cut its streams and end the session."""
        if self.carrier is None or self.over:
            return
        self._over = self.refused = True
        self.control.send(Refused(reason=reason, detail=REFUSAL_TEXTS[reason]))
        self.carrier.refuse(f"refused: {REFUSAL_TEXTS[reason]}", keep=self.control.transport)

    def tell_standing(self, *, pending: bool, serving: bool) -> None:
        """Answer one that only asks, and end the session."""
        if self.carrier is None or self.over:
            return
        self._over = self.refused = True
        self.control.send(Standing(agent=self.agent, pending=pending, serving=serving))
        self.carrier.refuse("it only asked", keep=self.control.transport)

    def end(self, why: str) -> None:
        """End the session in order; ``why`` is for the log."""
        if self.carrier is not None:
            self.carrier.end(why)

    # -- the control stream ----------------------------------------------------------------------------------------

    def _control_opened(self, transport: StreamTransport | None) -> None:
        if transport is None:
            return
        transport.protocol = self.control
        self.control.makeConnection(transport)  # type: ignore[no-untyped-call]
        self.control.say_hello(self._gate.program_id, FEATURES)

    def _received(self, message: Message) -> None:
        if self.over:
            return
        if self.hello is not None:
            self._gate.heard(self, message)
        elif isinstance(message, Hello):
            self.hello = message
            self._gate.judge(self)

    def _control_failed(self, why: str) -> None:
        if self.carrier is not None:
            self.carrier.fail(f"control stream: {why}")

    def _control_ended(self) -> None:
        if not self.over:
            self.end("the Agent ended its control stream")
