"""`socksfusion agent link`: one-time links on the agents' own port, with the real programs, curl and openssl."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socksfusion import limits
from socksfusion.identity.copy import AgentCopy
from tests.end_to_end.programs import PATIENCE_SECONDS, Installation, installation, wait_until

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path) as made:
        yield made


def curl(made: Installation, url: str, *arguments: str) -> tuple[int, str]:
    """The answer's status and body."""
    command = ["curl", "--silent", "--cacert", str(made.state / "ca.pem"), "--max-time", "30"]
    command += ["--write-out", "\n%{http_code}", *arguments, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def link(made: Installation, *arguments: str) -> str:
    return made.admin("agent", "link", "acme", *arguments).strip()


def connect(made: Installation, protocols: list[str] | None, copy: AgentCopy | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(made.state / "ca.pem"))
    if protocols is not None:
        context.set_alpn_protocols(protocols)
    if copy is not None:
        file = made.folder / "client.pem"
        file.write_bytes(copy.certificate_pem + copy.key_pem)
        context.load_cert_chain(file)
    raw = socket.create_connection(("127.0.0.1", made.agents_port), PATIENCE_SECONDS)
    return context.wrap_socket(raw, server_hostname="localhost")


def says(connection: ssl.SSLSocket, request: bytes = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") -> bytes:
    """Everything that comes after ``request``."""
    received = b""
    try:
        connection.sendall(request)
        while data := connection.recv(65536):
            received += data
    except ConnectionError:
        pass
    return received


@needs_curl
def test_a_link_hands_out_one_copy_which_takes_the_older_ones_place(made: Installation) -> None:
    copy = made.add_agent("acme")
    proxy = made.start_proxy()
    older = made.start_agent(copy)
    url = link(made)
    secret = url.rpartition("/")[2]
    assert re.fullmatch(rf"https://localhost:{made.agents_port}/link/[A-Za-z0-9_-]{{22,}}", url)
    for number in range(10):
        # what scanners of mail and chat do
        status, page = curl(made, url, *(["--head"] if number % 2 else []))
        assert status == 200
    status, page = curl(made, url)
    assert status == 200
    assert all(text in page for text in ("acme", f"localhost:{made.agents_port}", "chmod 600", "Download the copy"))
    assert [one.strip() for one in made.admin("agent", "links").splitlines()][1].split()[1:3] == ["acme", "open"]

    status, text = curl(made, url, "--data", "")
    assert status == 200
    fresh = made.folder / "fresh.agent"
    fresh.touch(0o600)
    fresh.write_text(text)
    assert AgentCopy.load(fresh).agent == "acme"
    for method in ("GET", "POST"):
        assert curl(made, url, "--request", method)[0] == 410

    newer = made.start_agent(fresh)
    older.wait_out("This agent is not registered")
    assert older.wait_exit() == 5
    assert newer.messages[-1] != "This agent is not registered"
    told = "\n".join([*proxy.log, *proxy.out, *newer.log])
    assert secret not in told
    assert "Traceback" not in told
    assert secret not in made.admin("agent", "links", "--json")


@needs_curl
def test_wrong_expired_and_revoked_links_get_one_answer(made: Installation) -> None:
    made.add_agent("acme")
    made.start_proxy()
    short, revoked = link(made, "--for", "1s"), link(made)
    listed = made.admin("agent", "links").splitlines()[2].split()[0]
    made.admin("agent", "links", "--revoke", listed)
    time.sleep(1.1)  # the span itself
    wrong = f"https://localhost:{made.agents_port}/link/{'A' * 32}"
    answers = {curl(made, url, "--data", "") for url in (short, revoked, wrong)}
    assert len(answers) == 1
    status, page = answers.pop()
    assert status == 410
    assert "Ask whoever sent it to you" in page
    keys = made.admin("agent", "show", "acme", "--json")
    assert keys.count('"pending"') == 1  # the one of `agent add`: no link has left a key behind


@pytest.mark.parametrize("protocols", [None, ["http/1.1"], ["h2"], ["unknown", "http/1.1"]], ids=str)
def test_who_does_not_offer_the_tunnel_reaches_the_site_alone(made: Installation, protocols: list[str] | None) -> None:
    made.start_proxy()
    with connect(made, protocols) as connection:
        assert says(connection).startswith(b"HTTP/1.1 404 ")
    with connect(made, protocols) as connection:
        # the tunnel's first frame: a ping
        assert says(connection, bytes.fromhex("00 02 0001 00000000 00000001") + b"\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("protocols", [None, ["h2"], ["socksfusion/2"]], ids=str)
def test_a_certificate_makes_no_tunnel_without_its_name(made: Installation, protocols: list[str] | None) -> None:
    copy = AgentCopy.load(made.add_agent("acme"))
    proxy = made.start_proxy()
    with connect(made, protocols, copy) as connection:
        # it is told that the session is over, and by no HTTP
        assert b"HTTP" not in says(connection)
    proxy.wait_log("it offers no version of the tunnel's protocol that this Proxy speaks (ALPN)")


def test_a_certificate_is_not_asked_for_by_the_site(made: Installation) -> None:
    copy = AgentCopy.load(made.add_agent("acme"))
    made.start_proxy()
    with connect(made, ["http/1.1"], copy) as connection:
        assert says(connection).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("protocols", [["socksfusion/1"], ["http/1.1", "socksfusion/1"]], ids=str)
def test_who_offers_the_tunnel_needs_a_certificate(made: Installation, protocols: list[str]) -> None:
    copy = AgentCopy.load(made.add_agent("acme"))
    proxy = made.start_proxy()
    with pytest.raises(ssl.SSLError), connect(made, protocols) as connection:
        # in TLS 1.3 a client learns of it with the first read
        connection.recv(1)
    proxy.wait_log("peer did not return a certificate")
    with connect(made, protocols, copy) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        assert connection.selected_alpn_protocol() == "socksfusion/1"
        assert connection.recv(1) == b"\x00"  # yamux, and no HTTP


def test_a1_slow_requests_are_gone_in_time_and_agents_go_on(made: Installation) -> None:
    copy = made.add_agent("acme")
    proxy = made.start_proxy("--unauthenticated-per-address", "8")
    slow: list[Any] = [connect(made, ["http/1.1"]) for _ in range(6)]
    began = time.monotonic()
    made.start_agent(copy)
    for connection in slow:
        connection.sendall(b"GET / HT")
    for connection in slow:
        connection.settimeout(PATIENCE_SECONDS)
        with connection:
            assert says(connection, b"") == b""
    assert time.monotonic() - began < limits.LINK_REQUEST_SECONDS + 5
    proxy.wait_log("no request came in time")
    # and nobody holds a slot any more
    for _ in range(20):
        with connect(made, ["http/1.1"]) as connection:
            assert says(connection).startswith(b"HTTP/1.1 404 ")


def test_a_head_or_a_body_without_end_is_cut(made: Installation) -> None:
    made.start_proxy()
    with connect(made, ["http/1.1"]) as connection:
        answer = says(connection, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * limits.LINK_REQUEST_BYTES)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""
    with connect(made, ["http/1.1"]) as connection:
        head = b"POST /link/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" % (b"A" * 32)
        assert says(connection, head + b"a" * 200_000) == b""


@needs_curl
def test_the_site_has_a_listener_and_a_certificate_of_its_own(made: Installation) -> None:
    from socksfusion.identity.authority import Authority
    from tests.end_to_end.programs import free_port

    made.add_agent("acme")
    authority, _ = Authority.create()
    issued = authority.issue_proxy(["localhost"])
    (made.folder / "site.pem").write_bytes(issued.certificate_pem)
    (made.folder / "site.key").write_bytes(issued.key_pem)
    (made.folder / "trusted.pem").write_bytes(authority.ca_pem)
    port = free_port()
    own = ("--links-certificate", str(made.folder / "site.pem"), "--links-key", str(made.folder / "site.key"))
    made.start_proxy("--links", f"tcp:{port}:interface=127.0.0.1", *own)
    assert made.proxy is not None
    made.proxy.wait_log(f"starting on {port}")
    url = link(made, "--site", f"https://localhost:{port}")
    trusted = ("--cacert", str(made.folder / "trusted.pem"))
    assert curl(made, url, *trusted)[0] == 200
    assert curl(made, url.replace(str(port), str(made.agents_port)), *trusted)[0] == 200
    with connect(made, ["socksfusion/1"], AgentCopy.load(made.folder / "acme.agent")) as tunnel:
        assert tunnel.selected_alpn_protocol() == "socksfusion/1"  # by the installation's CA, as ever


def test_a_link_for_nobody_and_a_bad_site_are_told(made: Installation) -> None:
    made.add_agent("acme")
    for arguments in (("nobody",), ("acme", "--site", "http://x"), ("acme", "--for", "31d")):
        with pytest.raises(subprocess.CalledProcessError) as told:
            made.admin("agent", "link", *arguments)
        assert told.value.stderr.startswith("socksfusion: ")
    wait_until(lambda: "There are no links" in made.admin("agent", "links"), lambda: "a link was made")
