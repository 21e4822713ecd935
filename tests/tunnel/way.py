"""The whole way of a byte for tests: Client, relay, carrier, relay, Target, over pipes in memory with one Clock."""

from typing import Any

from twisted.internet import error
from twisted.internet.protocol import Protocol

from socksfusion import limits
from socksfusion.tunnel.bandwidth import Bandwidth
from socksfusion.tunnel.relay import join
from socksfusion.tunnel.sweeper import Sweeper
from tests.tunnel.pair import HalfCloseable, Pair
from tests.tunnel.pipe import End, pass_time, pipe, pump


class Far(HalfCloseable):
    """A Client or a Target."""

    def writeConnectionLost(self) -> None:
        pass

    @property
    def was_reset(self) -> bool:
        """Whether RST has come to its socket; nobody looks there once the end of file was read."""
        return self.lost is error.ConnectionLost or bool(self.transport.was_reset)


class Way:
    """A Client and a Target with the tunnel between them."""

    def __init__(
        self, *, early_data: bytes = b"", capacity: int = 1 << 20, bandwidth: int | None = None, **pair: Any
    ) -> None:
        self.pair = Pair(stream_window=limits.INITIAL_WINDOW_BYTES, **pair)
        self.clock = self.pair.clock
        self.bandwidth = None if bandwidth is None else Bandwidth(self.clock, bandwidth)
        self.sweeper = Sweeper(self.clock, 120)
        self.sweeper.startService()
        here, there = self.pair.open(Protocol())
        self.streams = here.transport, there.transport
        self.client, self.proxy_tcp = self._pipe(capacity)
        self.target, self.agent_tcp = self._pipe(capacity)
        self.relays = (
            join(self.proxy_tcp, self.streams[0], early_data, sweeper=self.sweeper),
            join(self.agent_tcp, self.streams[1], sweeper=self.sweeper, bandwidth=self.bandwidth),
        )

    def _pipe(self, capacity: int) -> tuple[Any, End]:
        far, near = pipe(self.clock, capacity=capacity)
        far.protocol = Far()
        far.protocol.makeConnection(far)
        return far.protocol, near

    @property
    def ends(self) -> tuple[End, ...]:
        pair = self.pair
        tcp = self.client.transport, self.proxy_tcp, self.agent_tcp, self.target.transport
        return (*tcp, pair.proxy_end, pair.agent_end)

    def pump(self) -> None:
        pump(self.clock, *self.ends, piece=self.pair.piece)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        pass_time(self.clock, seconds, *self.ends, step=step)

    def far(self, side: str) -> tuple[Any, Any]:
        """The two ends, ``side`` first."""
        return (self.client, self.target) if side == "client" else (self.target, self.client)

    def check_nothing_is_left(self) -> None:
        assert not self.sweeper.relays
        assert not self.pair.proxy.session.streams
        assert not self.pair.agent.session.streams
        assert not self.proxy_tcp.connected
        assert not self.agent_tcp.connected
        assert self.pair.agent.session.budget.unread == self.pair.proxy.session.budget.unread == 0
