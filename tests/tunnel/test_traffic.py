"""Random traffic on one stream both ways: whatever is written, paused, resumed and cut into whatever pieces, two things
hold:

- bytes arrive in order, once, and in the end all of them;
- no queue exceeds its bound: what a reader has not taken stays within the window, what a writer that honours its
  producer's pauses has queued stays within the bound and one write.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from socksfusion import limits
from tests.tunnel.pair import HalfCloseable, Pair

WINDOW = limits.INITIAL_WINDOW_BYTES
LARGEST_WRITE = 100_000


@implementer(IPushProducer)
class Side(HalfCloseable):
    """Writes as long as it is not paused; reads as long as it does not pause."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.may_write = True
        self.ended = False

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        assert self.may_write, "paused twice"
        self.may_write = False

    def resumeProducing(self) -> None:
        assert not self.may_write, "resumed twice"
        self.may_write = True

    def stopProducing(self) -> None:
        pass

    def write(self, size: int) -> None:
        if self.may_write and not self.ended:
            data = len(self.sent).to_bytes(4, "big") * (size // 4)
            self.sent += data
            self.transport.write(data)

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()


SIDES = st.integers(0, 1)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), SIDES, st.integers(0, LARGEST_WRITE)),
        st.tuples(st.sampled_from(["pause", "resume", "end"]), SIDES, st.just(0)),
        st.tuples(st.just("move"), SIDES, st.integers(1, 70_000)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(OPERATIONS, st.sampled_from([700, 16_384, 1 << 20]), st.booleans())
def test_all_bytes_in_order_and_every_queue_within_its_bound(
    operations: list[tuple[str, int, int]], piece: int, small_buffers: bool
) -> None:
    pair = Pair(piece=piece, capacity=4096 if small_buffers else 1 << 20, protocol=Side, stream_window=WINDOW)
    sides = pair.open(Side())
    for operation, number, size in operations:
        act(pair, sides[number], operation, size)
        check(sides)
    for side in sides:
        side.transport.resumeProducing()
    pair.pump()
    check(sides)
    for side in sides:
        side.end()
    pair.pump()
    for here, there in (sides, sides[::-1]):
        assert there.data == here.sent
        assert there.ends[0] == "end"
        assert here.lost is not None
    assert pair.agent.session.budget.unread == pair.proxy.session.budget.unread == 0


def act(pair: Pair, side: Side, operation: str, size: int) -> None:
    if operation == "write":
        side.write(size)
    elif operation == "pause":
        side.transport.pauseProducing()
    elif operation == "resume":
        side.transport.resumeProducing()
    elif operation == "end":
        side.end()
    else:
        pair.clock.advance(0)
        for end in (pair.proxy_end, pair.agent_end):
            end.move(size)


def check(sides: Any) -> None:
    for here, there in (sides, sides[::-1]):
        assert here.sent.startswith(there.data)
        assert here.transport.queued <= limits.STREAM_SEND_BYTES + LARGEST_WRITE
        assert there.transport.unread <= WINDOW
