"""Floods over real TLS, from a hostile Agent and from a hostile Proxy (attacks.md, group B): bounded, and soon over."""

import socket
from collections.abc import Iterator

import pytest

from socksfusion import limits
from socksfusion.identity.state import StateFolder
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program, free_port, installation, wait_until
from tests.end_to_end.raw_agent import ACK, DATA, FIN, PING, RST, SYN, WINDOW_UPDATE, RawAgent, RawPeer, frame, record
from tests.end_to_end.raw_proxy import RawProxy

MEMORY_BYTES = 16 * limits.MIB
AT_ONCE = 100
"""Streams that are opened between two answers; the Agent resets more than 256."""
FLOOD = 5000
EVIL = "\x1b[2J\nFAKE\r\x00{why}%s\u202e\\"


def no_control_characters(lines: list[str]) -> bool:
    return all(line.isprintable() for line in lines)


class HonestSite:
    """A Proxy, and an Agent whose Client's echoes come back whatever another one does."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        self.hostile_copy = installed.add_agent("hostile")
        copy = installed.add_agent("demo")
        self.port = free_port()
        installed.admin("agent", "port", "demo", str(self.port))
        self.proxy = installed.start_proxy()
        installed.start_agent(copy)
        self.proxy.wait_log(f"agent demo has port {self.port}")

    def agent(self) -> RawAgent:
        agent = RawAgent(self.installed.agents_port, self.hostile_copy)
        agent.serve()
        return agent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HonestSite]:
    with installation(tmp_path_factory.mktemp("floods")) as installed:
        yield HonestSite(installed)


@pytest.fixture
def site(made: HonestSite) -> Iterator[HonestSite]:
    with Target(echo) as target, socks_connect(made.port, "127.0.0.1", target.port) as client:
        is_calm(client)
        descriptors, memory = made.proxy.descriptors(), made.proxy.rss_bytes()
        yield made
        is_calm(client)
        wait_until(lambda: made.proxy.descriptors() <= descriptors, made.proxy.descriptors)
        assert made.proxy.rss_bytes() < memory + MEMORY_BYTES
    assert not any("Traceback" in line or "Unhandled" in line for line in made.proxy.log), made.proxy.log


def is_calm(client: socket.socket) -> None:
    client.sendall(b"calm")
    assert receive_exactly(client, 4) == b"calm"


def send_until_closed(peer: RawPeer, data: bytes, times: int) -> None:
    """Never read: what comes back must not pile up anywhere."""
    try:
        for _ in range(times):
            peer.send(data)
    except OSError:
        pass


def test_b3_pings_of_an_agent_that_never_reads(site: HonestSite) -> None:
    with site.agent() as agent:
        send_until_closed(agent, frame(PING, SYN, 0, 7) * 1000, 1000)
    site.proxy.wait_log("is gone: protocol error: more than 10000 pings in 10 s")


def test_b8_updates_of_nothing(site: HonestSite) -> None:
    with site.agent() as agent:
        send_until_closed(agent, frame(WINDOW_UPDATE, 0, 1, 0) * 1000, 1000)
    site.proxy.wait_log("is gone: protocol error: more than 10000 empty frames in 10 s")


def test_questions_of_an_agent_that_takes_no_answers(site: HonestSite) -> None:
    asked = record({"type": "x" * 64}) * 50
    with site.agent() as agent:
        send_until_closed(agent, frame(DATA, 0, 1, len(asked), asked), 300)
        agent.read_to_the_end()
        assert agent.gone == 1
    site.proxy.wait_log("is gone: protocol error: control stream: it takes no answers")


def test_c6_what_an_agent_says_of_itself_is_one_printable_line(site: HonestSite) -> None:
    with RawAgent(site.installed.agents_port, site.hostile_copy) as agent:
        agent.hello(program=EVIL, program_id=EVIL, features=[EVIL])
        assert agent.next_record()["type"] == "welcome"
        wait_until(lambda: "FAKE" in site.installed.admin("agent", "list"), lambda: site.proxy.log)
        assert no_control_characters(site.installed.admin("agent", "list").splitlines())
        assert no_control_characters(site.proxy.log)


@pytest.fixture(scope="module")
def hostile_proxy(made: HonestSite) -> Iterator[RawProxy]:
    with RawProxy(StateFolder(made.installed.state)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def agent(made: HonestSite, hostile_proxy: RawProxy) -> Program:
    return made.installed.start_agent(
        made.hostile_copy,
        "--proxy",
        f"localhost:{hostile_proxy.port}",
        "--reconnect-first",
        "0.1",
        "--reconnect-largest",
        "0.1",
        serving=False,
    )


@pytest.fixture
def peer(hostile_proxy: RawProxy, agent: Program) -> Iterator[RawPeer]:
    """A session of the Agent's with a hostile Proxy; afterwards nothing is left over."""
    with hostile_proxy.welcome() as peer:
        peer.settle()
        descriptors = agent.descriptors()
        yield peer
    wait_until(lambda: agent.descriptors() <= descriptors, agent.descriptors)
    assert not any("Traceback" in line or "Unhandled" in line for line in agent.log), agent.log


def connect(port: int, host: str = "127.0.0.1") -> bytes:
    return record({"type": "connect", "host": host, "port": port, "timeout": 5.0})


def opening(stream: int, request: bytes) -> bytes:
    return frame(DATA, SYN, stream, len(request), request)


def is_served(peer: RawPeer, stream: int) -> None:
    """A last stream of the session works as the first would."""
    with Target(echo) as target:
        peer.send(opening(stream, connect(target.port)))
        assert peer.next_record(stream)["reply"] == 0
        peer.send(frame(DATA, 0, stream, 4, b"calm"))
        peer.read_until(lambda: peer.received[stream] == b"calm")
        peer.send(frame(WINDOW_UPDATE, RST, stream, 0))


def test_b4_opens_and_resets_of_a_proxy(peer: RawPeer, agent: Program) -> None:
    """Ten thousand dials to a Target that never answers; each ends with its stream."""
    memory = agent.rss_bytes()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        request = connect(full.getsockname()[1])
        for first in range(3, 20_003, 2 * AT_ONCE):
            streams = range(first, first + 2 * AT_ONCE, 2)
            peer.send(*(opening(stream, request) for stream in streams))
            peer.settle()
            assert agent.descriptors() < 2 * AT_ONCE
            peer.send(*(frame(WINDOW_UPDATE, RST, stream, 0) for stream in streams))
        peer.settle()
    is_served(peer, 20_003)
    assert agent.rss_bytes() < memory + MEMORY_BYTES


def test_b5_a_proxy_that_makes_the_agent_reset(peer: RawPeer, agent: Program) -> None:
    since = len(agent.log)
    end = (WINDOW_UPDATE, FIN)
    with pytest.raises(EOFError):  # noqa: PT012
        for first in range(3, 2 * limits.FAULTS_PER_SPAN + 203, 2 * AT_ONCE):
            for stream in range(first, first + 2 * AT_ONCE, 2):
                peer.send(frame(WINDOW_UPDATE, SYN, stream, 0), *(frame(*end, stream, 0) for _ in range(2)))
            peer.settle()
    assert peer.gone == 1
    agent.wait_log("ended: protocol error: more than 1000 faults in 10 s", since=since)


def test_b6_a_flood_of_opens(peer: RawPeer, agent: Program) -> None:
    """Those above the backlog are reset, the others acknowledged; ended, they leave nothing."""
    memory = agent.rss_bytes()
    for span in range(10):
        first = 3 + 2 * FLOOD * span
        streams = range(first, first + 2 * FLOOD, 2)
        peer.acknowledged.clear()
        peer.resets.clear()
        peer.send(*(frame(WINDOW_UPDATE, SYN, stream, 0) for stream in streams))
        peer.read_until(lambda: len(peer.acknowledged) + len(peer.resets) == FLOOD)
        assert peer.acknowledged.isdisjoint(peer.resets)
        peer.send(*(frame(WINDOW_UPDATE, RST, stream, 0) for stream in peer.acknowledged))
        peer.settle()
    is_served(peer, 3 + 2 * FLOOD * 10)
    assert agent.rss_bytes() < memory + MEMORY_BYTES


def test_b6_more_streams_than_a_session_may_have(peer: RawPeer, agent: Program) -> None:
    most = limits.STREAMS_PER_SESSION - 1  # the control stream is one
    for first in range(3, 2 * most, 2 * AT_ONCE):
        last = min(first + 2 * AT_ONCE, 2 * most + 3)
        peer.send(*(frame(WINDOW_UPDATE, SYN, stream, 0) for stream in range(first, last, 2)))
        peer.settle()
    assert not peer.resets
    assert len(peer.acknowledged) == most + 1
    peer.send(frame(WINDOW_UPDATE, SYN, 2 * most + 3, 0))
    peer.settle()
    assert peer.resets == [2 * most + 3]
    peer.send(frame(WINDOW_UPDATE, RST, 3, 0))
    is_served(peer, 2 * most + 5)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (frame(DATA, SYN, 3, 262_145), "stream 3 opens with 262145 bytes"),
        (frame(WINDOW_UPDATE, SYN, 3, 0xFFFF0000), "a credit of"),
        (frame(DATA, 0, 1, 0xFFFFFFFF), "a frame of 4294967295 bytes"),
        (frame(WINDOW_UPDATE, SYN, 4, 0), "may not open stream 4"),
        (frame(DATA, 0, 9, 1, b"x"), "stream 9 was never opened"),
        (frame(PING, SYN | ACK, 0, 1), "flags"),
    ],
    ids=["B1", "B2", "B10", "B9 parity", "B10 never opened", "B9 flags"],
)
def test_faults_of_a_proxy_end_the_session_and_are_the_reason(
    peer: RawPeer, agent: Program, said: bytes, why: str
) -> None:
    since = len(agent.log)
    peer.send(said)
    peer.read_to_the_end()
    assert peer.gone == 1
    assert why in agent.wait_log("ended: protocol error: ", since=since)


def test_c6_what_a_proxy_says_is_one_printable_line(peer: RawPeer, agent: Program) -> None:
    since = len(agent.log)
    peer.say({"type": EVIL})
    assert peer.next_record()["type"] == "unsupported"
    peer.send(opening(3, connect(80, EVIL)))
    assert peer.next_record(3)["reply"] == 4
    peer.say({"type": "refused", "reason": "duplicate", "detail": EVIL})
    peer.read_to_the_end()
    agent.wait_log("refused this agent", since=since)
    agent.wait_out("Target is unreachable")
    assert no_control_characters(agent.log + agent.out)
