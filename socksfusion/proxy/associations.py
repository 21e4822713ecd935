"""UDP ASSOCIATE: what the associations of a Proxy's Clients share."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address as LiteralIPv6
from ipaddress import ip_address
from typing import Any
from typing import Protocol as Interface

from twisted.internet.address import IPv4Address, IPv6Address

from socksfusion import descriptors
from socksfusion.proxy import association
from socksfusion.proxy.access import Access
from socksfusion.proxy.association import Associates, Association
from socksfusion.refusals import Refusals
from socksfusion.tunnel.datagram_room import DatagramRoom
from socksfusion.tunnel.udp import DatagramReceiver, UDPSocket, bound_socket
from socksfusion.wire.socks5 import Address, Reply


class Client(association.Client, Interface):
    """The protocol of the Client's TCP connection (``proxy.clients.ClientProtocol``)."""

    transport: Any


class Ended:
    """Stands for an association that was refused at once."""

    def client_lost(self) -> None:
        """Nothing is left to end."""


class Associations:
    """Begins associations.

    ``reactor`` reads sockets (``IReactorFDSet``) and keeps time (``IReactorTime``); ``bind`` makes a relay's socket.
    """

    def __init__(
        self,
        reactor: Any,
        router: Associates,
        refusals: Refusals,
        bind: Callable[[Any, str, DatagramReceiver], UDPSocket] = bound_socket,
    ) -> None:
        self._reactor = reactor
        self._router = router
        self._refusals = refusals
        self._bind = partial(bind, reactor)
        self._room = DatagramRoom(reactor.seconds)
        self._headroom = descriptors.for_clients()

    def begin(self, client: Client, access: Access, address: Address) -> Association | Ended:
        """Serve the datagrams of ``client``, and answer its request.

        Of ``address``, from which it announced to send, only the port counts (0: any): datagrams are taken from the
        address of its TCP connection, and the relay listens at the address that the connection came to.
        """
        here, there = _literal(client.transport.getHost()), _literal(client.transport.getPeer())
        if here is None or there is None:
            return self._refuse(client, access, "udp-listener", "it came by a Unix socket", Reply.COMMAND_NOT_SUPPORTED)
        full = self._headroom.refusal()
        if full is not None:
            return self._refuse(client, access, "descriptors", full, Reply.GENERAL_FAILURE)
        begun = Association(
            self._reactor,
            self._refusals,
            self._bind,
            self._room,
            client,
            access,
            here=here,
            there=there,
            port=address.port or None,
        )
        begun.begin(self._router)
        return begun

    def _refuse(self, client: Client, access: Access, rule: str, why: str, reply: Reply) -> Ended:
        self._refusals.refuse(rule, access.peer, f"no association: {why}")
        client.answer(reply)
        return Ended()


def _literal(address: Any) -> str | None:
    """The address of a TCP connection's end; a listener for both families tells IPv4 addresses in IPv6's clothes."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return None
    literal = ip_address(address.host)
    if isinstance(literal, LiteralIPv6) and literal.ipv4_mapped is not None:
        return str(literal.ipv4_mapped)
    return address.host
