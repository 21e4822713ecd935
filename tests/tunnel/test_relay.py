"""The whole way of a byte: Client, relay, carrier, relay, Target, over pipes in memory with one Clock.

Each end is told the truth about the other: a FIN is a FIN after the last byte, a reset is a reset after the bytes that
came before it, and whoever reads slowly stops whoever writes.
"""

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address

from socksfusion import limits
from socksfusion.tunnel import draining, sweeper
from socksfusion.wire.yamux.windows import ProcessBudget
from tests.tunnel.pipe import pipe
from tests.tunnel.way import Way

DONE, LOST = error.ConnectionDone, error.ConnectionLost
SIDES = ["client", "target"]


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "unsent_bytes", lambda transport: transport.unsent)
    monkeypatch.setattr(sweeper, "_was_reset", lambda relay: relay.tcp.was_reset)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("piece", [997, 1 << 20])
def test_bytes_and_ends_pass(side: str, piece: int) -> None:
    way = Way(piece=piece)
    here, there = way.far(side)
    here.transport.write(b"question" * 10_000)
    here.transport.loseWriteConnection()
    way.pump()
    assert there.data == b"question" * 10_000
    assert there.ends == ["end"]
    there.transport.write(b"a" * 1_000_000)
    there.transport.loseConnection()
    way.pump()
    assert here.data == b"a" * 1_000_000
    assert here.ends == ["end"]
    here.transport.loseConnection()
    way.pump()
    assert here.lost is DONE
    assert there.lost is DONE
    way.check_nothing_is_left()


def test_early_data_goes_first() -> None:
    way = Way(early_data=b"early ")
    way.client.transport.write(b"late")
    way.pump()
    assert way.target.data == b"early late"


@pytest.mark.parametrize("side", SIDES)
def test_a_reset_comes_after_the_bytes_before_it(side: str) -> None:
    way = Way()
    here, there = way.far(side)
    here.transport.write(b"x" * 2_000_000)
    way.pump()
    assert there.data == b"x" * 2_000_000
    here.transport.write(b"y" * 300_000)
    here.transport.move(1 << 20)
    near = way.proxy_tcp if side == "client" else way.agent_tcp
    while near.move(1 << 20):
        way.clock.advance(0)
    here.transport.abortConnection()
    way.pass_time(1, step=0.01)
    assert there.data == b"x" * 2_000_000 + b"y" * 300_000
    assert there.lost is LOST
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_a_reset_waits_for_a_slow_reader(side: str) -> None:
    way = Way(capacity=1000)
    here, there = way.far(side)
    there.transport.reading = False
    here.transport.write(b"x" * 50_000)
    way.pump()
    here.transport.abortConnection()
    way.pass_time(limits.RESET_DRAIN_SECONDS - 1, step=0.5)
    assert there.lost is None
    there.transport.reading = True
    way.pass_time(1, step=0.05)
    assert there.data == b"x" * 50_000
    assert there.lost is LOST
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_a_slow_reader_stops_the_writer_and_loses_nothing(side: str) -> None:
    way = Way(capacity=1000)
    here, there = way.far(side)
    there.transport.reading = False
    size = 5_000_000
    here.transport.write(b"x" * size)
    way.pump()
    taken = size - len(here.transport._out)
    assert taken < 4 * limits.INITIAL_WINDOW_BYTES
    assert way.streams[0].write_paused or way.streams[1].write_paused
    way.pass_time(3600, step=60)
    assert there.lost is None, "a reader may pause for hours (row B8)"
    there.transport.reading = True
    way.pump()
    assert there.data == b"x" * size


@pytest.mark.parametrize("side", SIDES)
def test_a_slow_download_after_a_half_close_is_no_silence(side: str) -> None:
    """The reader has ended its own direction, the writer has ended too, and much is still on its way."""
    way = Way(capacity=1000)
    here, there = way.far(side)
    there.transport.loseWriteConnection()
    way.pump()
    there.transport.reading = False
    here.transport.write(b"x" * 1_000_000)
    here.transport.loseConnection()
    way.pass_time(1000, step=10)
    assert there.lost is None
    there.transport.reading = True
    way.pump()
    assert there.data == b"x" * 1_000_000
    assert there.ends == ["end"]


@pytest.mark.parametrize("side", SIDES)
def test_half_closed_and_silent_is_reset_both_ways(side: str) -> None:
    way = Way()
    here, there = way.far(side)
    here.transport.write(b"question")
    here.transport.loseWriteConnection()
    way.pass_time(119)
    there.transport.write(b"a byte")
    way.pass_time(119)
    assert (here.lost, there.lost) == (None, None)
    way.pass_time(32)
    assert here.data == b"a byte"
    assert here.was_reset
    assert there.was_reset
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_a_lost_carrier_resets_at_once(side: str) -> None:
    way = Way()
    here, there = way.far(side)
    here.transport.write(b"cut")
    way.pump()
    (way.pair.proxy if side == "client" else way.pair.agent).abort("test")
    way.pump()
    assert there.heard == [b"cut", LOST]
    assert here.heard == [LOST]
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_a_stream_that_we_cut_resets_at_once(side: str) -> None:
    """Not after what its slow reader has yet to take: that it takes nothing is why we cut it."""
    way = Way(capacity=1000, budget=ProcessBudget(unread=100_000))
    here, there = way.far(side)
    there.transport.pauseProducing()
    here.transport.write(b"x" * 200_000)
    way.pump()
    assert way.pair.refusals.counts == {"stream-unread": 1}
    assert here.was_reset
    assert there.was_reset
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_what_came_before_an_end_is_delivered_though_the_carrier_is_lost(side: str) -> None:
    way = Way(capacity=1000)
    here, there = way.far(side)
    there.transport.reading = False
    here.transport.write(b"x" * 100_000)
    here.transport.loseWriteConnection()
    way.pump()
    way.pair.proxy.abort("test")
    way.pump()
    assert there.lost is None
    there.transport.reading = True
    way.pass_time(1, step=0.01)
    assert there.data == b"x" * 100_000
    assert there.ends == ["end"]
    assert there.was_reset
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_closing_at_once_is_no_clean_end_while_the_other_still_writes(side: str) -> None:
    way = Way()
    here, there = way.far(side)
    here.transport.loseConnection()
    way.pump()
    assert there.heard == ["end"]
    there.transport.write(b"for nobody")
    way.pass_time(1, step=0.1)
    assert there.was_reset
    way.check_nothing_is_left()


@pytest.mark.parametrize("side", SIDES)
def test_an_end_does_not_have_the_ended_socket_read_again(side: str) -> None:
    """Its reader was paused when its last bytes came: after the end it must not be resumed, for it would end twice."""
    way = Way()
    here, there = way.far(side)
    near = way.proxy_tcp if side == "client" else way.agent_tcp
    here.transport.write(b"x" * 600_000)
    here.transport.loseWriteConnection()
    way.pair.stall()
    way.pump()
    way.pair.flow()
    way.pump()
    assert there.data == b"x" * 600_000
    assert not near.reading
    assert there.ends == ["end"]


@pytest.mark.parametrize("side", SIDES)
def test_a_revoked_agents_clients_are_cut(side: str) -> None:
    way = Way()
    here, there = way.far(side)
    here.transport.write(b"x" * 1000)
    way.pump()
    way.pair.proxy.refuse("revoked", keep=way.streams[1])
    way.pump()
    assert here.lost is LOST
    assert there.lost is LOST


@pytest.mark.parametrize("who", ["client", "target", "both"])
def test_ends_that_cross_leave_nothing(who: str) -> None:
    way = Way(piece=100)
    for side in SIDES if who == "both" else [who]:
        here, _ = way.far(side)
        here.transport.write(b"bye" * 1000)
        here.transport.loseWriteConnection()
    way.pump()
    for far in (way.client, way.target):
        far.transport.loseConnection()
    way.pump()
    assert (way.client.lost, way.target.lost) == (DONE, DONE)
    way.check_nothing_is_left()


def test_a_relay_of_a_stream_that_is_lost_with_data_waiting_is_aborted_whole() -> None:
    way = Way(capacity=1000)
    way.client.transport.reading = False
    way.target.transport.write(b"x" * 200_000)
    way.pump()
    way.target.transport.abortConnection()
    way.pump()
    stream = way.streams[0]
    assert stream.reset_waiting
    way.relays[0].abort()
    way.pump()
    assert not stream.connected
    assert way.client.was_reset


def test_relays_are_watched_until_they_end() -> None:
    way = Way()
    assert len(way.sweeper.relays) == 2
    way.client.transport.abortConnection()
    way.pass_time(1)
    assert len(way.sweeper.relays) == 0


def test_addresses_of_a_pipe() -> None:
    assert pipe(Way().clock)[0].getHost() == IPv4Address("TCP", "198.51.100.7", 40_000)
