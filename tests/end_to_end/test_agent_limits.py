"""The admin's limits in the real programs: they delay, and what a scan finds under them is what it finds without."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from socksfusion import limits
from tests.end_to_end.network import PATIENCE_SECONDS, Target, receive_exactly, socks_ask, socks_connect
from tests.end_to_end.programs import Installation, wait_until
from tests.end_to_end.scanner import found, scan, thousand_ports

MEGABYTE = 1 << 20


class Busy:
    """A Target's end that counts: ``begun`` are the times of its connections, ``most`` how many there were at once."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.most = 0
        self._open = 0
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.begun.append(time.monotonic())
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            connection.recv(1)
        finally:
            with self._lock:
                self._open -= 1


@pytest.fixture
def busy() -> Iterator[tuple[Busy, int]]:
    counting = Busy()
    with Target(counting.serve) as target:
        yield counting, target.port


def test_a_scan_under_a_limit_of_dials_a_second_finds_the_same(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    with thousand_ports() as ports:
        agent = installed.start_agent(copy)
        undisturbed = scan(installed.clients_port, "127.0.0.1", ports, at_once=200)
        agent.stop()
        installed.start_agent(copy, "--dials-per-second", "200")
        begun = time.monotonic()
        delayed = scan(installed.clients_port, "127.0.0.1", ports, at_once=200)
        seconds = time.monotonic() - begun
    assert sorted(set(found(undisturbed).values())) == [0, 5]
    assert found(delayed) == found(undisturbed)
    assert seconds >= (1000 - 200 * limits.DIAL_BURST_SECONDS) / 200 - 0.1


def test_f5_five_thousand_opens_stay_within_the_limits_and_none_is_told_closed(
    installed: Installation, busy: tuple[Busy, int]
) -> None:
    counted, port = busy
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy, "--dials-per-second", "500", "--dials", "20", "--streams", "100")
    answers = scan(installed.clients_port, "127.0.0.1", [port] * 5000, at_once=1000, seconds=120)
    assert {answer.reply for answer in answers} <= {0, 1}
    opened = [answer for answer in answers if answer.reply == 0]
    assert len(opened) > 4000
    # what a Target sees comes a little later than it left, and not always equally late
    assert counted.most <= 100 * 1.2
    # the last ones wait in the backlog still
    wait_until(lambda: len(counted.begun) == len(opened), lambda: (len(counted.begun), len(opened)))
    begun = sorted(counted.begun)
    within = 500 * (1 + limits.DIAL_BURST_SECONDS)
    for first in range(0, len(begun) - 1000, 100):
        assert begun[first + 999] - begun[first] >= (1000 - within * 1.2) / 500


def test_who_is_above_the_open_connections_waits_for_a_place(installed: Installation, busy: tuple[Busy, int]) -> None:
    counted, port = busy
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy, "--streams", "2")
    first, second = (socks_connect(installed.clients_port, "127.0.0.1", port) for _ in range(2))
    waiting = socks_ask(installed.clients_port, "127.0.0.1", port)
    with second, waiting:
        waiting.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        assert len(counted.begun) == 2
        first.close()
        waiting.settimeout(PATIENCE_SECONDS)
        assert receive_exactly(waiting, 2) == b"\x05\x00"
    wait_until(lambda: len(counted.begun) == 3, lambda: counted.begun)
    assert not any("is unreachable" in line for line in agent.out)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bandwidth_delays_a_transfer_and_changes_nothing(installed: Installation, direction: str) -> None:
    data = bytes(range(256)) * (3 * MEGABYTE // 256)
    taken: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        if direction == "down":
            connection.sendall(data)
        else:
            taken.append(receive_exactly(connection, len(data)))
            connection.sendall(b"!")

    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy, "--bandwidth", "1MiB")
    with Target(serve) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        begun = time.monotonic()
        if direction == "down":
            taken.append(receive_exactly(client, len(data)))
        else:
            client.sendall(data)
            assert receive_exactly(client, 1) == b"!"
        seconds = time.monotonic() - begun
    assert taken == [data]
    # its last pieces may be on credit
    allowance = limits.BANDWIDTH_BURST_SECONDS + limits.CARRIER_READ_BYTES / MEGABYTE
    assert seconds >= 3 - allowance - 0.1
