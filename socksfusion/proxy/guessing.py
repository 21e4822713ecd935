"""Wrong logins: each is counted, logged without what was given, and answered the later the more an address fails."""

from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from socksfusion import limits
from socksfusion.refusals import Refusals


class Guessing:
    """Delays the answers to wrong logins by the address that they come from, never by the name that was given.

    A right login is never delayed: behind one address there may be many Clients, and a token can't be guessed anyway.
    Memory is bounded: the address longest without a failure is forgotten first.
    """

    def __init__(self, clock: IReactorTime, refusals: Refusals) -> None:
        self._clock = clock
        self._refusals = refusals
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, peer: str, rule: str = "login", why: str = "a wrong user name or password") -> Deferred[None]:
        """``peer`` (``address:port``) gave a wrong login, or a wrong link: fires when the failure is to be answered.

        To be cancelled where the Client goes away before.
        """
        delay = self._count(_source(peer))
        self._refusals.refuse(rule, peer, why)
        answer: Deferred[None] = Deferred(lambda _: call.cancel())
        call: IDelayedCall = self._clock.callLater(delay, answer.callback, None)
        return answer

    def _count(self, source: str) -> float:
        """Note a failure; how long its answer is to be delayed, in seconds."""
        now = self._clock.seconds()
        count, last = self._failures.get(source, (0, now))
        if now - last >= limits.LOGIN_FAILURES_FORGOTTEN_SECONDS:
            count = 0
        self._failures[source] = count + 1, now
        self._failures.move_to_end(source)
        if len(self._failures) > limits.LOGIN_FAILURE_ADDRESSES:
            self._failures.popitem(last=False)
        # the exponent is bounded: a float ends at 2**1024
        return min(limits.LOGIN_DELAY_SECONDS * 2.0 ** min(count, 64), limits.LOGIN_DELAY_LARGEST_SECONDS)


def _source(peer: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, which one host may have to itself."""
    host = peer.rsplit(":", 1)[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return host
