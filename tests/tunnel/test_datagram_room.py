"""All associations of a process together hold no more than they may, and what has left counts no more."""

import pytest
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.tunnel.datagram_room import DatagramRoom, Share

KIB = 1024
FULL = limits.ASSOCIATION_QUEUE_BYTES
ASSOCIATIONS = 8


class Stream:
    queued = 0


class World:
    """A room for what ``ASSOCIATIONS`` streams may hold, and twice as many streams."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.room = DatagramRoom(self.clock.seconds, ASSOCIATIONS * FULL)
        self.streams = [Stream() for _ in range(2 * ASSOCIATIONS)]
        self.shares = [self.room.share(stream) for stream in self.streams]

    def write(self, number: int, size: int) -> str | None:
        refused = self.shares[number].refusal(size)
        if refused is None:
            self.streams[number].queued += size
        return refused

    def fill(self) -> None:
        for number in range(ASSOCIATIONS):
            assert self.write(number, FULL) is None


@pytest.fixture
def world() -> World:
    return World()


def test_one_association_has_its_own_bound(world: World) -> None:
    assert world.write(0, FULL) is None
    assert world.write(0, 1) == f"{FULL} bytes wait for the connection"
    world.streams[0].queued = 0
    assert world.write(0, FULL) is None


def test_d4_all_together_have_theirs_and_new_ones_are_refused(world: World) -> None:
    world.fill()
    assert world.write(ASSOCIATIONS, 1) == f"datagrams of all associations take {ASSOCIATIONS * FULL} bytes"
    assert not world.shares[ASSOCIATIONS].take(1)
    assert world.room.bytes == sum(stream.queued for stream in world.streams) == ASSOCIATIONS * FULL


def test_what_left_silently_makes_room_within_a_second(world: World) -> None:
    world.fill()
    for stream in world.streams:
        stream.queued = 0
    assert world.write(ASSOCIATIONS, 1) is not None, "it was counted just now"
    world.clock.advance(limits.DATAGRAM_RECOUNT_SECONDS)
    assert world.write(ASSOCIATIONS, 1) is None
    assert world.room.bytes == 1


def test_a_flood_looks_at_all_once_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill()
    looks: list[Share] = []
    look = Share.look

    def counted(share: Share) -> None:
        looks.append(share)
        look(share)

    monkeypatch.setattr(Share, "look", counted)
    world.clock.advance(limits.DATAGRAM_RECOUNT_SECONDS)
    for _ in range(1000):
        assert world.write(ASSOCIATIONS, 1) is not None
    assert len(looks) == 1000 + 2 * ASSOCIATIONS


def test_what_waits_elsewhere_counts_until_it_is_given_back(world: World) -> None:
    assert world.shares[0].take(ASSOCIATIONS * FULL)
    assert world.write(1, 1) is not None
    world.shares[0].give(1)
    assert world.write(1, 1) is None


def test_an_association_that_is_gone_takes_nothing(world: World) -> None:
    world.fill()
    assert world.shares[0].take(1) is False
    for share in world.shares * 2:
        share.close()
    assert world.room.bytes == 0
    assert world.room.share(Stream()).take(ASSOCIATIONS * FULL)
