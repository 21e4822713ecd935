"""A Client's connection as such, whatever is spoken on it: its layers, who the Client is, and how it ends in order."""

from typing import Any

from OpenSSL import SSL
from twisted.internet import protocol
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.log import printable
from socksfusion.proxy.front import Front
from socksfusion.tunnel import eager, layers, plain
from socksfusion.tunnel.tls import TLSFailed
from socksfusion.wire.way_in import WayIn


class Connection(protocol.Protocol):
    """What :class:`socksfusion.proxy.clients.ClientProtocol` stands on."""

    transport: Any

    def __init__(self, front: Front, address: IAddress | None) -> None:
        self._front = front
        self._address = address
        self._finishing = False
        self._ended = False
        """The Client's FIN has come."""

    @property
    def peer(self) -> str:
        """The Client's address and port, for logs."""
        address = self._address
        if not isinstance(address, IPv4Address | IPv6Address):
            return "unix"
        # what a PROXY header of version 1 calls an address may be any text
        host = printable(address.host)
        return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"

    def connectionMade(self) -> None:
        """A newcomer is always let in: the oldest Client without a whole request makes room."""
        plain.prepare(self.transport)
        self._write = eager.writer(self.transport)
        incomplete = self._front.incomplete
        if len(incomplete) >= limits.INCOMPLETE_REQUESTS:
            incomplete.pop_oldest().refuse("client-crowded", f"oldest of {len(incomplete) + 1} incomplete requests")
        incomplete.add(self)

    def refuse(self, rule: str, why: str) -> None:
        """Close without an answer, and say so."""
        self._front.refusals.refuse(rule, self.peer, why)
        self._finish(read_on=False)

    def close(self) -> None:
        """Close now."""
        layers.close(self.transport)

    def _finish(self, read_on: bool) -> None:
        """Close after what is queued.

        A close with unread bytes in the kernel is a reset, which can overtake our answer. ``read_on`` is for a Client
        from whom more may be on its way: our direction ends now, theirs is read to its end or for a moment.
        """
        self._front.incomplete.discard(self)
        self._finishing = True
        if not read_on or self._ended:
            self.close()
            return
        self._front.lingering.add(self)
        layers.end_writing(self.transport)
        self.transport.resumeProducing()

    def _take_off_proxy_header(self) -> None:
        """The first bytes are there, so a PROXY header before them was read: it tells who the Client is."""
        if layers.reads_proxy_header(self.transport):
            self.transport, self._address = layers.below_proxy_header(self.transport, self)
            self._write = eager.writer(self.transport)

    def _tell_broken_layer(self, reason: Failure) -> None:
        """Log what kept an endpoint's own layer from delivering anything."""
        if isinstance(reason.value, SSL.Error):
            self._front.refusals.refuse("client-tls", self.peer, f"TLS failed: {TLSFailed(reason.value)}")
        elif layers.refused_proxy_header(self.transport):
            why = "does not begin with the PROXY header that a haproxy: endpoint wants"
            self._front.refusals.refuse("client-proxy-header", self.peer, why)

    def _bound_early_data(self, way: WayIn) -> None:
        """Read no more than may be kept while others are asked."""
        room = way.early_room
        if room > 0:
            self.transport.bufferSize = room
        else:
            self.transport.pauseProducing()

    def _read_freely(self, way: WayIn) -> None:
        """They have answered."""
        self.transport.bufferSize = limits.PLAIN_READ_BYTES
        if way.early_room <= 0 and not self._ended:
            self.transport.resumeProducing()
