"""What all Clients of a Proxy share, whichever port they came to and whichever protocol they speak."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from socksfusion import descriptors, limits
from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.proxy.deadlines import Deadlines
from socksfusion.proxy.opening import Opened
from socksfusion.refusals import Refusals
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.socks5 import Address

if TYPE_CHECKING:
    from socksfusion.proxy.clients import ClientProtocol
    from socksfusion.proxy.connection import Connection


class Router(Interface):
    """What finds the Agent and asks it (``proxy.routing.Router``)."""

    def open(self, host: str, port: int, access: Access) -> Deferred[Opened]:
        """Open ``host``:``port`` under the rights of ``access``. Cancelling the Deferred cancels the dial."""


class Accounts(Interface):
    """Who judges logins (``proxy.accounts.Accounts``)."""

    required: bool
    """Whether nothing is opened without a login."""

    def login(self, user: bytes, password: bytes, access: Access) -> Access | None:
        """``access`` completed by a login; None for a wrong one."""

    def standing(self, access: Access) -> Grant | WhyNot:
        """What ``access`` may do now."""


class Guessing(Interface):
    """Who delays the answers to wrong logins (``proxy.guessing.Guessing``)."""

    def failed(self, peer: str) -> Deferred[None]:
        """Fires when the failure of ``peer`` is to be answered; to be cancelled where it goes away before."""


class Association(Interface):
    """A Client's UDP association."""

    def client_lost(self) -> None:
        """The Client's TCP connection is gone, and the association with it."""


class Associations(Interface):
    """Who serves UDP ASSOCIATE (``proxy.associations``)."""

    def begin(self, client: "ClientProtocol", access: Access, address: Address) -> Association:
        """Serve the datagrams of ``client``, which announced that it sends from ``address``.

        ``client.answer`` is due, once; ``client.close`` ends the association for reasons of the other side.
        """


class Front:
    """What the Clients of every listener need.

    ``clock`` is the reactor; ``join(transport, stream, early_data)`` makes a relay of the two, whose protocols it gives
    them (``tunnel.relay.join``). ``sweeper`` looks after plain HTTP requests as it does after relays. Without
    ``associations`` UDP ASSOCIATE is answered 0x07. ``negotiation_seconds`` is for all that a Client says up to its
    request, a TLS handshake included.
    """

    def __init__(
        self,
        clock: IReactorTime,
        router: Router,
        accounts: Accounts,
        guessing: Guessing,
        refusals: Refusals,
        join: Callable[[Any, Any, bytes], object],
        *,
        sweeper: Sweeper | None = None,
        associations: Associations | None = None,
        negotiation_seconds: float = limits.NEGOTIATION_SECONDS,
    ) -> None:
        self.router = router
        self.accounts = accounts
        self.guessing = guessing
        self.refusals = refusals
        self.join = join
        self.sweeper = sweeper
        self.associations = associations
        self.headroom = descriptors.for_clients()
        self.incomplete: Deadlines[Connection] = Deadlines(clock, negotiation_seconds, _time_out)
        """Clients whose request is not whole."""
        self.lingering: Deadlines[Connection] = Deadlines(clock, limits.REFUSAL_LINGER_SECONDS, _close)
        """Clients that were answered and are read on, so that what they send can't reset the answer away."""


def _time_out(client: "Connection") -> None:
    client.refuse("client-timeout", "its request was not complete in time")


def _close(client: "Connection") -> None:
    client.close()
