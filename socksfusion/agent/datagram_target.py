"""One address that an association sends datagrams to: resolved once, judged each time, a socket of its own.

The socket is connected, so that the kernel tells of a refused port and drops what comes from anybody else.
"""

from collections.abc import Awaitable
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.dial import failure_of
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.policy import literal
from socksfusion.log import make_logger
from socksfusion.tunnel.udp import DatagramReceiver, UDPSocket

_log = make_logger()


class TargetOwner(Interface):
    """The association that a target belongs to."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def resolve(self, name: str) -> Awaitable[list[str]]:
        """Addresses of ``name``; raises :class:`ConnectFailed`."""

    def allowed(self, addresses: list[str], host: str, port: int) -> list[str]:
        """Those of ``addresses``, which ``host`` means, that the policy allows now; raises where there is none."""

    def open_socket(self, address: str, port: int, receiver: DatagramReceiver) -> UDPSocket:
        """A connected socket; raises :class:`ConnectFailed`."""

    def hold(self, size: int) -> bool:
        """Whether there is room to keep so many bytes; they count until ``release``."""

    def release(self, size: int) -> None:
        """So many bytes are kept no more."""

    def received(self, address: str, port: int, payload: bytes) -> None:
        """A datagram of the target's."""

    def dropped(self, rule: str, why: str) -> None:
        """A datagram was not sent, and nothing is known about its target."""

    def failed(self, target: "DatagramTarget", failure: ConnectFailed) -> None:
        """Every address of the target has failed; it is closed."""


class DatagramTarget:
    """What an association knows about ``host`` and ``port``, as its Client wrote them.

    Driven by three sources: the Client (``send``), the resolver, and the target's socket. What comes while the name is
    being resolved is kept. So is the newest datagram until one of several addresses has answered: where the kernel says
    that one is of no use, it goes to the next. ``last_active`` is when a datagram went or came.
    """

    def __init__(self, owner: TargetOwner, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.last_active = owner.seconds()
        self._owner = owner
        self._kept: list[bytes] = []
        self._addresses: list[str] = []
        self._socket: UDPSocket | None = None
        self._look_up: Deferred[None] | None = None
        self._settled = literal(host) is not None
        if self._settled:
            self._addresses = [host]

    def send(self, payload: bytes) -> None:
        """Send ``payload``, once the name is resolved; what can't be sent is told to the owner."""
        self.last_active = self._owner.seconds()
        if not self._settled and not self._keep(payload):
            return
        if self._addresses:
            self._send([payload])
        elif self._look_up is None:
            self._look_up = Deferred.fromCoroutine(self._resolve())
            self._look_up.addErrback(self._broken)

    def close(self) -> None:
        """Let go of everything. Harmless when repeated."""
        self._addresses = []
        self._forget_kept()
        if self._look_up is not None:
            self._look_up.cancel()
        self._close_socket()

    # -- the socket ------------------------------------------------------------------------------------------------

    def datagram_received(self, payload: bytes, source: tuple[str, int]) -> None:
        """The target answers: this address is the one."""
        self.last_active = self._owner.seconds()
        if not self._settled:
            self._settle()
        self._owner.received(source[0], source[1], payload)

    def socket_failed(self, error: OSError) -> None:
        """The kernel says what became of the last datagram."""
        self._socket = None
        self._next_address(failure_of(error))

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _resolve(self) -> None:
        try:
            addresses = await self._owner.resolve(self.host)
            allowed = self._owner.allowed(addresses, self.host, self.port)
        except ConnectFailed as failure:
            self._give_up(failure)
            return
        self._addresses = allowed[: limits.ADDRESSES_PER_NAME]
        self._send(list(self._kept))
        if len(self._addresses) == 1:
            self._settle()

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            _log.failure("a name of an association could not be looked up", failure=failure)
            self._give_up(ConnectFailed("an error of the Agent's own"))

    def _send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            if not self._addresses:
                return
            try:
                address = self._owner.allowed(self._addresses[:1], self.host, self.port)[0]
                if self._socket is None:
                    self._socket = self._owner.open_socket(address, self.port, self)
            except ConnectFailed as failure:
                self._next_address(failure)
                return
            try:
                self._socket.send(payload)
            except BlockingIOError:
                self._owner.dropped("udp-busy", f"the system takes no more to {address} port {self.port} now")
            except OSError as error:
                self._next_address(failure_of(error))
                return

    def _next_address(self, failure: ConnectFailed) -> None:
        self._close_socket()
        del self._addresses[:1]
        if self._addresses:
            self._send(list(self._kept))
        else:
            self._give_up(failure)

    def _give_up(self, failure: ConnectFailed) -> None:
        self._look_up = None
        self.close()
        self._owner.failed(self, failure)

    def _close_socket(self) -> None:
        handle, self._socket = self._socket, None
        if handle is not None:
            handle.close()

    def _settle(self) -> None:
        self._settled = True
        del self._addresses[1:]
        self._forget_kept()

    def _keep(self, payload: bytes) -> bool:
        """Keep ``payload``; where there is no room it may be sent all the same, but only once."""
        if self._addresses:
            # a target that never answers must not gather what it was sent
            self._forget_kept()
        if self._owner.hold(len(payload)):
            self._kept.append(payload)
            return True
        if self._addresses:
            return True
        self._owner.dropped("udp-queue", f"too much waits for {self.host} to be resolved")
        return False

    def _forget_kept(self) -> None:
        self._owner.release(sum(map(len, self._kept)))
        self._kept.clear()
