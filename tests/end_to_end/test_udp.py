"""UDP ASSOCIATE through both programs: real resolvers and SNMP agents, and the rows D1 to D4 of the list of attacks."""

import json
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import socks  # type: ignore[import-untyped]

from tests.end_to_end import network
from tests.end_to_end.programs import Installation, Program, free_port, wait_until
from tests.end_to_end.udp import Client, Forwarder, Target, enveloped, listens, unused_port

FOUND = "198.51.100.7"


def needs(tool: str, folder: str = "/usr/sbin") -> str:
    path = shutil.which(tool) or shutil.which(tool, path=folder)
    if path is None:
        pytest.skip(f"needs {tool}")
    return path


# -- real servers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a dnsmasq on both loopback addresses, which knows one name."""
    port = free_port()
    command = [needs("dnsmasq"), "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="]
    command += ["--listen-address=127.0.0.1,::1", "--bind-interfaces", f"--port={port}"]
    command += [f"--address=/found.test/{FOUND}", "--log-facility=-"]
    server = Program(command, cwd=tmp_path_factory.mktemp("dnsmasq"))
    try:
        server.wait_log("started")
        yield port
    finally:
        server.kill()


def dns_query(name: str, number: int = 7) -> bytes:
    """A question for an IPv4 address (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def dns_answer(data: bytes) -> str:
    """The address in an answer that holds just one."""
    _, flags, questions, answers, *_ = struct.unpack("!6H", data[:12])
    assert (flags & 0x800F, questions, answers) == (0x8000, 1, 1)
    return socket.inet_ntop(socket.AF_INET, data[-4:])


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "localhost"])
def test_dns_by_the_address_or_the_name_of_a_real_resolver(serving: Installation, resolver: int, server: str) -> None:
    with Client(serving.clients_port) as client:
        assert client.reply == 0
        client.send(dns_query("found.test"), server, resolver)
        answer, (host, port) = client.receive()
        assert dns_answer(answer) == FOUND
        assert host in ("127.0.0.1", "::1")
        assert port == resolver


@pytest.mark.parametrize("server", ["127.0.0.1", "localhost"])
def test_dns_by_pysocks(serving: Installation, resolver: int, server: str) -> None:
    with socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.set_proxy(socks.SOCKS5, "127.0.0.1", serving.clients_port, rdns=True)
        client.settimeout(30)
        client.sendto(dns_query("found.test"), (server, resolver))
        answer, _ = client.recvfrom(1000)
        assert dns_answer(answer) == FOUND


def test_many_questions_at_once_get_their_answers(serving: Installation, resolver: int) -> None:
    with Client(serving.clients_port) as client:
        for number in range(100):
            client.send(dns_query("found.test", number), "127.0.0.1", resolver)
        answers = [client.receive()[0] for _ in range(100)]
    assert sorted(struct.unpack("!H", answer[:2])[0] for answer in answers) == list(range(100))


@pytest.fixture(scope="module")
def snmp_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an snmpd on loopback."""
    folder = tmp_path_factory.mktemp("snmpd")
    (folder / "snmpd.conf").write_text("rocommunity public 127.0.0.1\nsysLocation behind the Agent\n")
    port = unused_port()
    command = [needs("snmpd"), "-f", "-Lo", "-C", "-c", "snmpd.conf", f"udp:127.0.0.1:{port}"]
    server = Program(command, cwd=folder, environment={"SNMP_PERSISTENT_DIR": str(folder)})
    try:
        server.wait_out("NET-SNMP version")
        yield port
    finally:
        server.kill()


def test_snmp(serving: Installation, snmp_port: int, tmp_path: Path) -> None:
    with Forwarder(serving.clients_port, "127.0.0.1", snmp_port) as forwarder:
        options = ["-v2c", "-c", "public", "-Oqv", "-t", "10", "-r", "2", "-m", ""]
        asked = subprocess.run(
            [needs("snmpget"), *options, f"127.0.0.1:{forwarder.port}", "1.3.6.1.2.1.1.6.0"],
            capture_output=True,
            timeout=60,
            text=True,
            env={"SNMP_PERSISTENT_DIR": str(tmp_path)},
        )
    assert "behind the Agent" in asked.stdout, asked.stderr


# -- what the attacks try ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announce", [False, True], ids=["any-port", "announced-port"])
def test_d1_a_second_socket_sends_nothing(serving: Installation, announce: bool) -> None:
    with Target() as target, Client(serving.clients_port, announce=announce) as client:
        assert client.ask(b"mine", target.host, target.port) == b"mine"
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((host, 0))
                stranger.sendto(enveloped(b"stranger's", target.host, target.port), client.relay)
        assert client.ask(b"mine again", target.host, target.port) == b"mine again"
        assert [payload for payload, _ in target.received] == [b"mine", b"mine again"]


def test_d2_the_relay_is_bound_to_the_listeners_address_and_gone_with_the_tcp_connection(serving: Installation) -> None:
    with Client(serving.clients_port) as client:
        host, port = client.relay
        assert host == "127.0.0.1"
        assert listens(port)
        client.control.close()
        wait_until(lambda: not listens(port), lambda: "the relay is still there", seconds=1)


def test_d3_bad_datagrams_are_dropped_and_a_good_one_after_them_works(serving: Installation) -> None:
    with Target() as target, Client(serving.clients_port) as client:
        good = enveloped(b"good", target.host, target.port)
        bad = [b"", good[:2], good[:9], b"\0\1" + good[2:], b"\0\0\1" + good[3:], b"\0\0\x80" + good[3:]]
        bad += [good[:3] + b"\2" + good[4:], bytes(65_507), enveloped(b"", target.host, 0)]
        for data in bad:
            client.datagrams.sendto(data, client.relay)
        assert client.ask(b"good", target.host, target.port) == b"good"
        assert [payload for payload, _ in target.received] == [b"good"]


@pytest.mark.parametrize("size", [0, 1, 1472, 9000, 65_507 - 10], ids=lambda size: f"{size}-bytes")
def test_d3_datagrams_of_every_size_arrive_whole(serving: Installation, size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    with Target() as target, Client(serving.clients_port) as client:
        assert client.ask(payload, target.host, target.port) == payload


@pytest.mark.parametrize("host", ["224.0.0.251", "255.255.255.255", "169.254.169.254", "0.0.0.0", "ff02::fb"])
def test_d4_c4_the_policy_is_asked_for_each_datagram(serving: Installation, host: str) -> None:
    assert serving.proxy is not None
    since = len(serving.proxy.log)
    port = unused_port()
    with Target() as target, Client(serving.clients_port) as client:
        assert client.ask(b"1", target.host, target.port) == b"1"
        client.send(b"2", host, port)
        told = serving.proxy.wait_log(f"{host} port {port} (UDP)", since=since)
        assert "rule=udp-denied" in told
        assert client.ask(b"3", target.host, target.port) == b"3"


def test_d4_a_flood_leaves_tcp_its_second(serving: Installation) -> None:
    with (
        network.Target(network.echo) as honest,
        Target(lambda _: None) as target,
        Client(serving.clients_port) as client,
        network.socks_connect(serving.clients_port, honest.host, honest.port) as stream,
    ):
        data = enveloped(b"x" * 1000, target.host, target.port)
        worst, end = 0.0, time.monotonic() + 2
        while time.monotonic() < end:
            for _ in range(200):
                client.datagrams.sendto(data, client.relay)
            begun = time.monotonic()
            stream.sendall(b"ping")
            assert network.receive_exactly(stream, 4) == b"ping"
            worst = max(worst, time.monotonic() - begun)
    assert worst < 1
    assert len(target.received) <= 3 * 1000, "1,000 a second"


def test_d4_a_stopped_agent_makes_datagrams_drop_and_nothing_grow(installed: Installation) -> None:
    proxy = installed.start_proxy()
    agent = installed.start_agent(installed.add_agent("demo"))
    with Target() as target, Client(installed.clients_port) as client:
        assert client.ask(b"before", target.host, target.port) == b"before"
        before = proxy.rss_bytes()
        agent.signal(signal.SIGSTOP)
        try:
            # paced, so that the Proxy and not the kernel has to drop them
            for _ in range(500):
                client.send(bytes(60_000), target.host, target.port)
                time.sleep(0.001)
            proxy.wait_log("rule=udp-queue")
            grown = proxy.rss_bytes() - before
        finally:
            agent.signal(signal.SIGCONT)
        assert grown < 16 * 2**20, f"{grown} bytes"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            client.send(b"after", target.host, target.port)
            if client.receive()[0] == b"after":
                break
    assert any(payload == b"after" for payload, _ in target.received)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_wish_5_a_closed_port_is_told_at_once(serving: Installation) -> None:
    assert serving.proxy is not None
    since = len(serving.proxy.log)
    port = unused_port()
    with Client(serving.clients_port) as client:
        begun = time.monotonic()
        client.send(b"anybody?", "127.0.0.1", port)
        told = serving.proxy.wait_log(f"127.0.0.1 port {port} (UDP)", since=since)
        assert time.monotonic() - begun < 5
        assert "rule=udp-refused" in told
        client.close()
        over = serving.proxy.wait_log("association of", since=since)
        assert "sent=1 received=0 dropped=0 undelivered=1" in over


def test_a_lost_agent_ends_the_association(installed: Installation) -> None:
    installed.start_proxy()
    agent = installed.start_agent(installed.add_agent("demo"))
    with Target() as target, Client(installed.clients_port) as client:
        assert client.ask(b"1", target.host, target.port) == b"1"
        agent.kill()
        assert client.control.recv(100) == b""
        wait_until(lambda: not listens(client.relay[1]), lambda: "the relay is still there")


# -- nothing is left ---------------------------------------------------------------------------------------------------


def test_10_000_associations_leave_no_socket(installed: Installation) -> None:
    proxy = installed.start_proxy()
    agent = installed.start_agent(installed.add_agent("demo"))
    with Target() as target:

        def associate(number: int) -> None:
            with Client(installed.clients_port) as client:
                assert client.reply == 0
                if number % 10 == 0:
                    assert client.ask(b"x", target.host, target.port) == b"x"

        associate(0)
        before = proxy.descriptors(), agent.descriptors()
        with ThreadPoolExecutor(16) as pool:
            for _ in pool.map(associate, range(10_000)):
                pass
        wait_until(
            lambda: proxy.descriptors() <= before[0] and agent.descriptors() <= before[1],
            lambda: f"{before} descriptors before, {(proxy.descriptors(), agent.descriptors())} after",
        )


# -- scans -------------------------------------------------------------------------------------------------------------


def test_a_scans_record_has_what_was_refused_and_its_end_is_the_associations(installed: Installation) -> None:
    proxy = installed.start_proxy()
    installed.start_agent(installed.add_agent("demo"))
    port = free_port()
    installed.admin("scan", "start", "demo", "--port", str(port), "--allow", "127.0.0.1")
    (scan,) = json.loads(installed.admin("scan", "list", "--json"))
    proxy.wait_log(f"starting on {port}")
    closed = unused_port()
    with Target() as target, Client(port) as client:
        assert client.ask(b"1", target.host, target.port) == b"1"
        client.send(b"2", "127.0.0.1", closed)
        proxy.wait_log("rule=udp-refused")
        client.send(b"3", "127.0.0.2", closed)
        proxy.wait_log("rule=udp-denied")
        installed.admin("scan", "stop", scan["id"])
        assert client.control.recv(100) == b""
        wait_until(lambda: not listens(client.relay[1]), lambda: "the relay is still there")

    def replies() -> Any:
        return json.loads(installed.admin("scan", "show", "--json", scan["id"]))["replies"]

    wait_until(lambda: replies() == {"0x02": 1, "0x05": 1}, replies)
