"""proxy.live: streams end when the rights that they were opened under are gone, and only then."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.access import Access, Grant
from socksfusion.proxy.live import LiveStreams
from tests.proxy.accounts import Registered, access, digest


class Stream:
    def __init__(self) -> None:
        self.aborted = 0
        self._watchers: list[Callable[[Any, Failure], None]] = []

    def when_lost(self, watcher: Callable[[Any, Failure], None]) -> None:
        self._watchers.append(watcher)

    def abortConnection(self) -> None:
        self.aborted += 1

    def lose(self) -> None:
        for watcher in self._watchers:
            watcher(self, Failure(ConnectionDone()))


class Streams:
    """Agents a and b, scan s of a, Alice who may use a, and streams of each kind of access."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registered = Registered("a", "b")
        self.registered.scan("s", "a")
        self.registered.client("alice", "a")
        self.accounts = self.registered.accounts()
        self.live = LiveStreams(self.clock, self.accounts)
        self.by: dict[str, Stream] = {}
        for name, by in {
            "port of a": access(agent="a"),
            "token of a": access(agent="a", token=digest("a-token")),
            "port of b": access(agent="b"),
            "port of s": access(agent="a", scan="s"),
            "token of s": access(agent="a", scan="s", token=digest("s-token")),
            "alice": access(agent="a", client="alice", token=digest("alice-token")),
            "alice in s": access(agent="a", client="alice", scan="s", token=digest("alice-token")),
        }.items():
            self.by[name] = self.open(by)

    def open(self, by: Access) -> Stream:
        grant = self.accounts.standing(by)
        assert isinstance(grant, Grant)
        stream = Stream()
        self.live.add(by, grant, cast(Any, stream))
        return stream

    def aborted(self) -> set[str]:
        return {name for name, stream in self.by.items() if stream.aborted}


@pytest.fixture
def streams() -> Streams:
    return Streams()


ALICES = {"alice", "alice in s"}
OF_S = {"port of s", "token of s", "alice in s"}
OF_A = {"port of a", "token of a"} | ALICES | OF_S


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (lambda there: there.client("alice", "a", revoked=True), ALICES),
        (lambda there: there.client("alice", "a", token=digest("newer")), ALICES),
        (lambda there: there.client("alice", "b"), ALICES),
        (lambda there: there.client("alice", all_agents=True), set()),
        (lambda there: there.client("alice", "a", allow=("10.0.0.0/8",)), ALICES),
        (lambda there: there.scan("s", "a", allow=("10.0.0.0/8",)), OF_S),
        (lambda there: there.client("bob", "a"), set()),
        (lambda there: there.end_scan("s"), OF_S),
        (lambda there: there.agent("a", token=digest("newer")), {"token of a"}),
        (lambda there: there.agent("a", revoked=True), OF_A),
        (lambda there: there.agent("a", paused=True), set()),
        (lambda there: there.agent("b", revoked=True), {"port of b"}),
    ],
)
def test_a_change_of_the_registry_ends_what_lost_its_rights(
    streams: Streams, change: Callable[[Registered], None], gone: set[str]
) -> None:
    change(streams.registered)
    streams.live.look()
    assert streams.aborted() == gone
    streams.live.look()
    assert all(stream.aborted <= 1 for stream in streams.by.values())


@pytest.mark.parametrize(
    ("allow", "ends"),
    [
        (("10.0.0.0/8", "192.0.2.0/24"), False),
        (("192.0.2.0/24", "10.0.0.0/8", "fd00::/8"), False),
        (("10.0.0.0/8", "192.0.2.0/25", "192.0.2.128/25"), False),
        (("0.0.0.0/0",), False),
        ((), False),
        (("10.0.0.0/8",), True),
        (("10.0.0.0/8", "192.0.2.0/25"), True),
        (("198.51.100.0/24",), True),
    ],
)
def test_a_stream_ends_when_its_account_is_narrowed_and_not_when_it_is_widened(
    streams: Streams, allow: tuple[str, ...], ends: bool
) -> None:
    streams.registered.client("bob", "a", allow=("192.0.2.0/24", "10.0.0.0/8"))
    stream = streams.open(access(agent="a", client="bob", token=digest("bob-token")))
    streams.registered.client("bob", "a", allow=allow)
    streams.live.look()
    assert bool(stream.aborted) is ends


def test_rights_that_end_by_time_are_noticed_within_a_second(streams: Streams) -> None:
    streams.registered.agent("a", expires=1_005.0)
    streams.live.startService()
    streams.clock.advance(limits.RIGHTS_SECONDS)
    assert streams.aborted() == set()
    streams.registered.now = 1_005.0
    streams.clock.advance(limits.RIGHTS_SECONDS)
    assert streams.aborted() == OF_A
    streams.live.stopService()


def test_a_stream_of_the_shared_port_stays_its_agents(streams: Streams) -> None:
    """A second agent is registered: the port is nobody's now, but what is open goes on."""
    alone = Registered("a")
    live = LiveStreams(streams.clock, alone.accounts())
    grant = alone.accounts().standing(access())
    assert isinstance(grant, Grant)
    stream: Any = Stream()
    live.add(access(), grant, stream)
    alone.agent("b")
    live.look()
    assert not stream.aborted
    alone.agent("a", revoked=True)
    live.look()
    assert stream.aborted


def test_streams_that_ended_are_kept_nowhere(streams: Streams) -> None:
    for port in range(1000):
        streams.open(access(agent="a", peer=f"192.0.2.1:{port}")).lose()
    assert len(streams.live) == len(streams.by)
    for stream in streams.by.values():
        stream.lose()
    assert len(streams.live) == 0
    streams.registered.agent("a", revoked=True)
    streams.live.look()
    assert streams.aborted() == set()
