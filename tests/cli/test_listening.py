"""Waiting for the port that a running Proxy is about to open."""

import socket

import pytest

from socksfusion.cli.listening import is_free, wait_until_open


class Waits:
    """A clock that goes on by what is slept, and in which the port opens at ``opens`` seconds."""

    def __init__(self, opens: float) -> None:
        self.now = 0.0
        self.opens = opens
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def seconds(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.opens:
            self.listener.listen()


@pytest.mark.parametrize(("opens", "lasts"), [(0.4, 0.4), (100.0, 1.5)], ids=["it opens", "it can't be seen"])
def test_a_port_is_waited_for(opens: float, lasts: float) -> None:
    waits = Waits(opens)
    with waits.listener:
        # bound and not listening is as good as free here, and no other program can take it meanwhile
        waits.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert is_free(waits.port)
        wait_until_open(waits.port, sleep=waits.sleep, seconds=waits.seconds)
        assert waits.now == pytest.approx(lasts, abs=0.1)
