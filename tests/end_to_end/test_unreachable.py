"""``Target is unreachable``: the address as the Client asked for it, when a connection to it has failed."""

import pytest

from tests.end_to_end.lines import UNREACHABLE, messages, wait_for
from tests.end_to_end.network import reset, socks_open
from tests.end_to_end.programs import Installation, Program, free_port


@pytest.fixture
def agent(serving: Installation) -> Program:
    return serving.programs[-1]


@pytest.mark.parametrize(
    ("host", "shown", "reply"),
    [
        ("127.0.0.1", "127.0.0.1", 5),
        ("::1", "[::1]", 5),
        ("localhost", "localhost", 5),
        ("no-such-host.invalid", "no-such-host.invalid", 4),
        ("evil\x1b[2J\nhost", r"evil\x1b[2J\x0ahost", 4),
    ],
)
def test_refused_or_unresolved(serving: Installation, agent: Program, host: str, shown: str, reply: int) -> None:
    port = free_port("::1" if host == "::1" else "127.0.0.1")
    got, client = socks_open(serving.clients_port, host, port)
    client.close()
    assert got == reply
    wait_for(agent, f"{UNREACHABLE}{shown}:{port}")


@pytest.mark.parametrize("host", ["192.0.2.1", "169.254.169.254", "0.0.0.0", "::ffff:10.0.0.1"])
def test_policy_refusal_prints_none(serving: Installation, agent: Program, host: str) -> None:
    before = [message for message in messages(agent) if message.startswith(UNREACHABLE)]
    reply, client = socks_open(serving.clients_port, host, 80)
    client.close()
    assert reply == 2
    port = free_port()
    reset(socks_open(serving.clients_port, "127.0.0.1", port)[1])
    wait_for(agent, f"{UNREACHABLE}127.0.0.1:{port}")
    after = [message for message in messages(agent) if message.startswith(UNREACHABLE)]
    assert after == [*before, f"{UNREACHABLE}127.0.0.1:{port}"]
