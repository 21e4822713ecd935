"""A registered Agent that breaks the rules (attacks.md, group E): it harms itself alone."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from socksfusion import limits
from tests.end_to_end.network import (
    Target,
    echo,
    receive_exactly,
    reset,
    socks_ask,
    socks_connect,
    socks_open,
    was_reset,
)
from tests.end_to_end.programs import Installation, free_port, installation
from tests.end_to_end.raw_agent import DATA, HELLO, SYN, WINDOW_UPDATE, RawAgent, frame, record


class Site:
    """A Proxy with the honest agent ``demo`` on a port of its own, and the copy of ``hostile`` with its port."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        self.copy = installed.add_agent("hostile")
        self.port, self.honest_port = free_port(), free_port()
        honest_copy = installed.add_agent("demo")
        for name, port in (("hostile", self.port), ("demo", self.honest_port)):
            installed.admin("agent", "port", name, str(port))
        self.proxy = installed.start_proxy("--handshake", "2")
        self.honest_agent = installed.start_agent(honest_copy)
        self.honest_copy = honest_copy

    def agent(self) -> RawAgent:
        return RawAgent(self.installed.agents_port, self.copy)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installation(tmp_path_factory.mktemp("hostile")) as installed:
        yield Site(installed)


@pytest.fixture
def site(made: Site) -> Iterator[Site]:
    """An honest Client's echo comes back before and after, and nothing ends in a traceback."""
    with Target(echo) as target, socks_connect(made.honest_port, "127.0.0.1", target.port) as client:
        client.sendall(b"calm")
        assert receive_exactly(client, 4) == b"calm"
        yield made
        client.sendall(b"calm")
        assert receive_exactly(client, 4) == b"calm"
    assert not any("Traceback" in line or "Unhandled" in line for line in made.proxy.log), made.proxy.log


def test_e1_two_programs_with_one_key(site: Site) -> None:
    """The second comes ten times; the first serves throughout."""
    with Target(echo) as target, socks_connect(site.honest_port, "127.0.0.1", target.port) as client:
        for number in range(10):
            with RawAgent(site.installed.agents_port, site.honest_copy) as second:
                second.hello(program_id=f"other {number}")
                refusal = second.next_record()
                assert (refusal["type"], refusal["reason"]) == ("refused", "duplicate")
                second.read_to_the_end()
                assert second.gone == 0
            client.sendall(b"served")
            assert receive_exactly(client, 6) == b"served"


def test_e1_the_same_program_twice(site: Site) -> None:
    """Its newer connection is welcomed at once, though the older one answers no ping, and the older one is cut."""
    with site.agent() as ghost, site.agent() as back:
        ghost.serve(program_id="one")
        began = time.monotonic()
        back.serve(program_id="one")
        assert time.monotonic() - began < limits.URGENT_PING_SECONDS
        ghost.read_to_the_end()


def test_e2_agent_opens_streams_into_the_proxy(site: Site) -> None:
    """Each is reset, and the third ends the session; nothing is dialled."""
    with Target(echo) as target, site.agent() as agent:
        agent.serve()
        request = record({"type": "connect", "host": "127.0.0.1", "port": target.port, "timeout": 5.0})
        for stream in (2, 4):
            agent.send(frame(DATA, SYN, stream, len(request), request))
        agent.read_until(lambda: agent.resets == [2, 4])
        assert agent.gone is None
        agent.send(frame(WINDOW_UPDATE, SYN, 6, 0))
        agent.read_to_the_end()
        assert agent.gone == 1
        assert target.accepted == 0
    site.proxy.wait_log("refused rule=foreign-open")


def nested(depth: int) -> bytes:
    body = b"\x91" * depth + b"\x01"
    return len(body).to_bytes(2, "big") + body


HELLOS: dict[str, bytes] = {
    "over its bound": (limits.RECORD_BYTES + 1).to_bytes(2, "big"),
    "deep": nested(limits.RECORD_DEPTH + 1),
    "no MessagePack": b"\x00\x05\xc1\xc1\xc1\xc1\xc1",
    "wrong types": record({**HELLO, "protocol": "one"}),
    "without a field": record({name: value for name, value in HELLO.items() if name != "program_id"}),
    "without a tag": record({name: value for name, value in HELLO.items() if name != "type"}),
    "a list": record([1, 2, 3]),
    "text that is none": record(msgspec.Raw(b"\x81\xa4type\xa2\xff\xfe")),
}


@pytest.mark.parametrize("case", HELLOS)
def test_e3_bad_hello(site: Site, case: str) -> None:
    with site.agent() as agent:
        agent.next_record()
        agent.send(frame(DATA, 0, 1, len(HELLOS[case]), HELLOS[case]))
        agent.read_to_the_end()
        assert agent.gone == 1
        assert set(agent.received) == {1}


def test_e3_no_hello(site: Site) -> None:
    """It has as long as TLS and hello may take together."""
    with site.agent() as agent:
        began = time.monotonic()
        agent.next_record()
        agent.read_to_the_end()
        assert time.monotonic() - began < 10
    site.proxy.wait_log("no hello within 2 s")


def test_e3_another_message_in_place_of_the_hello(site: Site) -> None:
    """What is known but out of place is ignored, what is unknown is answered so; neither makes it serve."""
    with site.agent() as agent:
        agent.next_record()
        agent.say({"type": "running"})
        agent.say({"type": "from-the-future", "with": ["fields"]})
        assert agent.next_record() == {"type": "unsupported", "what": "from-the-future"}
        agent.say(HELLO)
        assert agent.next_record()["type"] == "welcome"


def replying(agent: RawAgent, reply: dict[str, Any] | bytes) -> None:
    """Answer the next stream by ``reply``."""

    def answer() -> None:
        stream = agent.next_stream()
        agent.next_record(stream)
        body = reply if isinstance(reply, bytes) else record(reply)
        agent.send(frame(DATA, 0, stream, len(body), body))

    threading.Thread(target=answer, daemon=True).start()


@pytest.mark.parametrize(
    "reply",
    [
        {"type": "connect-reply", "reply": 250, "host": "", "port": 0, "detail": ""},
        {"type": "connect-reply", "reply": 0, "host": "h" * 254, "port": 80, "detail": ""},
        {"type": "running"},
        b"\xff\xff",
        b"\x00\x01\xc1",
    ],
    ids=["unknown code", "host too long", "another message", "over its bound", "no MessagePack"],
)
def test_e4_odd_reply(site: Site, reply: dict[str, Any] | bytes) -> None:
    """The Client reads 0x01, the operator *not tested*."""
    with site.agent() as agent:
        agent.serve()
        replying(agent, reply)
        got, client = socks_open(site.port, "127.0.0.1", 9)
        client.close()
        assert got == 1


def test_e4_mute_agent_hears_that_the_client_has_gone(site: Site) -> None:
    """The stream is reset, which would cancel a dial; how long a Client waits is tested in tests/proxy."""
    with site.agent() as agent:
        agent.serve()
        client = socks_ask(site.port, "127.0.0.1", 9)
        stream = agent.next_stream()
        reset(client)
        agent.read_until(lambda: stream in agent.resets)


def test_agent_that_goes_in_the_middle_of_a_frame(site: Site) -> None:
    """What its Client has read is cut, not ended."""
    with site.agent() as agent:
        agent.serve()
        replying(agent, {"type": "connect-reply", "reply": 0, "host": "127.0.0.1", "port": 1, "detail": ""})
        got, client = socks_open(site.port, "127.0.0.1", 9)
        assert got == 0
        agent.send(frame(DATA, 0, agent.next_stream(), 1000, b"the first of many bytes"))
    with client:
        assert was_reset(client)
