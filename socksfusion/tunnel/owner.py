"""What a carrier asks of whoever decides about it."""

from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IProtocol

if TYPE_CHECKING:
    from socksfusion.tunnel.carrier import Carrier


class CarrierOwner(Protocol):
    """The owner of one carrier: the Proxy's visit (``proxy.visit``) or the Agent's call (``agent.call``)."""

    def handshaken(self, carrier: "Carrier") -> None:
        """TLS stands and the peer's certificate is the CA's.

        Judge it (raise nothing; close the carrier if it won't do).
        """

    def stream_opened(self, carrier: "Carrier", peer: str) -> IProtocol:
        """The peer opened a stream: its protocol. Only called where the session accepts streams."""

    def lost(self, carrier: "Carrier", why: str) -> None:
        """The carrier is gone, and so are its streams."""
