"""Two programs with one key: one serves, the other waits for its place; who comes back takes its own at once."""

import signal
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from tests.end_to_end.admin import wait_shown
from tests.end_to_end.forwarder import Forwarder
from tests.end_to_end.lines import ALREADY_CONNECTED, CONNECTING, ESTABLISHED, messages, told, wait_for
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, was_reset
from tests.end_to_end.programs import Installation, Program

ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP)


def test_second_waits_and_takes_over(installed: Installation) -> None:
    """The second asks every 5 s and serves once the first was stopped, killed or has frozen.

    The three ends run side by side, each with an agent of its own.
    """
    copies = {end: installed.add_agent(end.name.lower()) for end in ENDS}
    installed.start_proxy()
    firsts = {end: installed.start_agent(copy) for end, copy in copies.items()}
    seconds = {end: installed.start_agent(copy, serving=False) for end, copy in copies.items()}
    for second in seconds.values():
        wait_for(second, ALREADY_CONNECTED, 2)
        assert_every_five_seconds(second)
    assert all(messages(first) == [CONNECTING, ESTABLISHED] for first in firsts.values())

    for end, first in firsts.items():
        first.signal(end)
    for second in seconds.values():
        second.wait_log("serving as agent")
        assert messages(second)[-2:] == [CONNECTING, ESTABLISHED]

    # awake again, it finds its place taken
    firsts[signal.SIGSTOP].signal(signal.SIGCONT)
    wait_for(firsts[signal.SIGSTOP], ALREADY_CONNECTED)


def assert_every_five_seconds(agent: Program) -> None:
    times = [at for at, message in told(agent) if message == ALREADY_CONNECTED]
    for before, after in pairwise(times):
        # the handshake comes on top, and a busy machine
        assert timedelta(seconds=4.99) <= after - before < timedelta(seconds=8)


def start_through(forwarder: Forwarder, installed: Installation, copy: Path, *arguments: str) -> Program:
    return installed.start_agent(copy, "--proxy", f"localhost:{forwarder.port}", *arguments)


def test_killed_without_a_fin(installed: Installation) -> None:
    """Of the first one's end nothing reaches the Proxy, whose ping of 3 s decides when another one comes."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    with Forwarder(installed.agents_port) as forwarder:
        first = start_through(forwarder, installed, copy)
        forwarder.freeze()
        first.kill()
        second = installed.start_agent(copy)
        assert messages(second) == [CONNECTING, ESTABLISHED]
        proxy.wait_log("another program with its key came, and it did not answer")


def test_same_program_by_another_way(installed: Installation) -> None:
    """Its connection dies unnoticed by the Proxy; it dials again and replaces its own ghost, without a wait."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    with Forwarder(installed.agents_port) as forwarder, Target(echo) as target:
        agent = start_through(forwarder, installed, copy, "--ping", "0.5", "--reconnect-first", "0.2")
        cut_off = socks_connect(installed.clients_port, "127.0.0.1", target.port)
        forwarder.freeze()
        agent.wait_log("no answer to 2 pings")
        agent.wait_log("serving as agent demo", since=len(agent.log))
        proxy.wait_log("the same program came back by another way")
        assert ALREADY_CONNECTED not in messages(agent)

        with socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
            client.sendall(b"by the new way")
            assert receive_exactly(client, 14) == b"by the new way"
        with cut_off:
            assert was_reset(cut_off)
        # the ghost's end came later and is not the agent's
        wait_shown(installed, "demo", last_error="the same program came back by another way", connected=True)
