"""The way back: a network that comes up late, another address, a network that flaps, a machine that slept.

Waits of thousands of seconds stand where a dial has to be due to something else than time.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from socksfusion import limits
from tests.end_to_end.forwarder import Forwarder
from tests.end_to_end.lines import ALREADY_CONNECTED, CONNECTING, ESTABLISHED, messages, told, wait_for
from tests.end_to_end.namespaces import Network, why_none
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program, installation, wait_until

NEVER = ("--reconnect-first=3000", "--reconnect-largest=3000")
FIRST, SECOND = "192.0.2.1/24", "192.0.2.11/24"

ASLEEP = """\
import time
from pathlib import Path

real = time.clock_gettime


def clock_gettime(clock):
    slept = float(Path("slept").read_text()) if clock == time.CLOCK_BOOTTIME else 0.0
    return real(clock) + slept


time.clock_gettime = clock_gettime
"""
"""As ``sitecustomize``: the clock that counts sleep is ahead by what stands in a file."""


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[tuple[Network, Installation]]:
    """The Proxy listens in ``far``; what is started from now on runs in ``near``."""
    reason = why_none()
    if reason:
        pytest.skip(reason)
    network = Network()
    try:
        with installation(tmp_path, network.far.prefix) as made:
            made.admin("init", "--name", "192.0.2.2", "--name", "late.test")
            made.start_proxy("--agents", f"tcp:{made.agents_port}:interface=192.0.2.2")
            made.prefix = network.near.prefix
            yield network, made
    finally:
        network.close()


def start(made: Installation, host: str, *arguments: str, serving: bool = True) -> Program:
    copy = made.folder / "demo.agent"
    made.admin("agent", "add", "demo", "--proxy", f"{host}:{made.agents_port}", "--out", str(copy))
    return made.start_agent(copy, *arguments, allow=["192.0.2.2"], serving=serving)


def answer_names(server: socket.socket) -> None:
    """A DNS server that knows one address for every name, and no IPv6 (RFC 1035)."""
    while True:
        try:
            query, client = server.recvfrom(512)
        except OSError:
            return
        question = query[12 : query.index(b"\0", 12) + 5]
        is_a = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c" + struct.pack("!HHIH4B", 1, 1, 0, 4, 192, 0, 2, 2) if is_a else b""
        server.sendto(query[:2] + struct.pack("!5H", 0x8180, 1, is_a, 0, 0) + question + answer, client)


def test_a_network_that_comes_up_late(apart: tuple[Network, Installation], tmp_path: Path) -> None:
    """No address, no route and no DNS at the start (wishes, 17): it goes on, and dials as soon as there is a way."""
    network, made = apart
    network.near.bind_file("nameserver 192.0.2.2\noptions timeout:1 attempts:1\n", "/etc/resolv.conf", tmp_path)
    network.near.run(f"ip addr del {FIRST} dev near")
    with network.far.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("192.0.2.2", 53))
        threading.Thread(target=answer_names, args=(server,), daemon=True).start()
        agent = start(made, "late.test", *NEVER, serving=False)
        agent.wait_log("dialling again in")
        assert ESTABLISHED not in messages(agent)

        network.near.run(f"ip addr add {FIRST} dev near")
        agent.wait_log("serving as agent demo")
    assert messages(agent)[-1] == ESTABLISHED


def test_from_another_address(apart: tuple[Network, Installation]) -> None:
    """Its address goes and another comes: nothing reaches the Proxy of that. The same program replaces its ghost."""
    network, made = apart
    proxy = made.proxy
    assert proxy is not None
    agent = start(made, "192.0.2.2", *NEVER)
    network.near.run(f"ip addr del {FIRST} dev near")
    network.near.run(f"ip addr add {SECOND} dev near")

    wait_for(agent, ESTABLISHED, 2)
    proxy.wait_log("the same program came back by another way")
    proxy.wait_log("serves from 192.0.2.11")
    assert ALREADY_CONNECTED not in messages(agent)
    dialled, established = (
        [at for at, message in told(agent) if message == wanted] for wanted in (CONNECTING, ESTABLISHED)
    )
    # a machine that is as busy as this one was at the first dial may take longer
    first, again = (second - began for began, second in zip(dialled, established, strict=True))
    assert again.total_seconds() < max(2.0, 4 * first.total_seconds())

    with (
        network.far.inside(),
        Target(echo, "192.0.2.2") as target,
        socks_connect(made.clients_port, "192.0.2.2", target.port) as client,
    ):
        client.sendall(b"from there")
        assert receive_exactly(client, 10) == b"from there"


def test_a_network_that_flaps(apart: tuple[Network, Installation], tmp_path: Path) -> None:
    """Thousands of changes make a dial every two seconds, at a Proxy that is not there."""
    network, made = apart
    assert made.proxy is not None
    made.proxy.stop()
    agent = start(made, "192.0.2.2", *NEVER, serving=False)
    agent.wait_log("dialling again in")
    dials = messages(agent).count(CONNECTING)

    flaps = tmp_path / "flaps"
    flaps.write_text("addr add 192.0.2.50/32 dev near\naddr del 192.0.2.50/32 dev near\n" * 100)
    began, changes = time.monotonic(), 0
    while time.monotonic() < began + 5:
        network.near.run(f"ip -batch {flaps}")
        changes += 200
    wait_until(lambda: messages(agent).count(CONNECTING) >= dials + 2, lambda: agent.log)
    taken = time.monotonic() - began
    assert changes > 100 * 5
    assert messages(agent).count(CONNECTING) - dials <= taken / limits.NETWORK_CHANGE_SECONDS + 1


def test_a_machine_that_slept(installed: Installation) -> None:
    """Its connection died meanwhile: it asks at once, not when the next ping is due."""
    (installed.folder / "sitecustomize.py").write_text(ASLEEP)
    slept = installed.folder / "slept"
    slept.write_text("0")
    copy = installed.add_agent("demo")
    installed.start_proxy()
    with Forwarder(installed.agents_port) as forwarder:
        never = ("--ping=3000", f"--proxy=localhost:{forwarder.port}", "--allow=127.0.0.0/8")
        agent = installed.start(
            "socksfusion-agent", "--copy", str(copy), *never, PYTHONPATH=f"{installed.folder}:{Path.cwd()}"
        )
        agent.wait_log("serving as agent")
        forwarder.freeze()
        replacement = installed.folder / "slept.new"
        replacement.write_text("3600")
        replacement.replace(slept)
        agent.wait_log("this machine slept for 3600 s")
        agent.wait_log("no answer after this machine slept")
        wait_for(agent, ESTABLISHED, 2)
        assert messages(agent) == [CONNECTING, ESTABLISHED] * 2


def test_backoff_of_a_proxy_that_is_gone(installed: Installation) -> None:
    """Every wait is random below a bound that doubles; the log tells each."""
    copy = installed.add_agent("demo")
    agent = installed.start_agent(copy, "--reconnect-first=0.1", "--reconnect-largest=0.8", serving=False)
    wait_for(agent, CONNECTING, 9)
    waits = [float(line.split("dialling again in ")[1].split()[0]) for line in agent.log if "dialling again in" in line]
    # rounded to a tenth in the log
    for wait, bound in zip(waits, [0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8, 0.8], strict=False):
        assert 0 <= wait <= bound + 0.05
    assert len(set(waits)) > 1
    times = [at for at, message in told(agent) if message == CONNECTING]
    # a program never dials sooner than it said
    for (before, after), wait in zip(pairwise(times), waits, strict=False):
        assert (after - before).total_seconds() >= wait - 0.06
