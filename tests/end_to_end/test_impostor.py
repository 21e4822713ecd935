"""What answers in the Proxy's place and is not it: the Agent says nothing to it and tells its admin why (row F3)."""

import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry
from tests.end_to_end.lines import CONNECTING, ESTABLISHED, messages
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Installation, wait_until
from tests.end_to_end.raw_agent import DATA, HELLO, SYN, frame, record

MONTH_SECONDS = 30 * 86400.0
MINE = ["localhost"]


class Impostor:
    """A TLS server with ``issued``; ``heard`` is what each connection said after its handshake."""

    def __init__(self, issued: Issued, *, alpn: str | None = "socksfusion/1", says: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._says = says
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if alpn is not None:
            self._context.set_alpn_protocols([alpn])
        with tempfile.NamedTemporaryFile() as chain:
            chain.write(issued.certificate_pem + issued.key_pem)
            chain.flush()
            self._context.load_cert_chain(chain.name)

    def __call__(self, connection: socket.socket) -> None:
        heard = b""
        try:
            tls = self._context.wrap_socket(connection, server_side=True)
            if self._says:
                tls.sendall(self._says)
            while data := tls.recv(65536):
                heard += data
        except OSError:  # ssl's errors are such
            pass
        finally:
            self.heard.append(heard)


CERTIFICATES: dict[str, tuple[Callable[[StateFolder], Issued], str]] = {
    "of another CA": (
        lambda state: Authority.create()[0].issue_proxy(MINE),
        "shows a certificate that is not of this copy's CA, issued by SocksFusion CA ",
    ),
    "of another name": (
        lambda state: state.authority().issue_proxy(["proxy.example.org"]),
        "the Proxy at localhost has a certificate for proxy.example.org; use one of these names",
    ),
    "of an agent": (
        lambda state: state.authority().issue_agent("demo"),
        "is not a Proxy's: some agent of this installation answers there",
    ),
    "not valid yet": (
        lambda state: state.authority(time.time() + MONTH_SECONDS).issue_proxy(MINE),
        "is not valid yet: compare the clocks of this machine and of the Proxy",
    ),
    "expired": (
        lambda state: expired(state),
        "has expired: compare the clocks, or restart the Proxy, which renews it",
    ),
}


def expired(state: StateFolder) -> Issued:
    key = state.ca_key_file.read_bytes()
    return Authority(state.ca_pem(), key, lambda: time.time() - 2 * 365 * 86400).issue_proxy(MINE)


def assert_told(installed: Installation, serve: Callable[[socket.socket], None], text: str) -> list[str]:
    """Let the Agent dial ``serve`` twice; it logs ``text``. What it printed."""
    with Target(serve) as target:
        agent = installed.start_agent(
            installed.folder / "demo.agent",
            "--proxy",
            f"localhost:{target.port}",
            "--reconnect-first",
            "0.2",
            serving=False,
        )
        agent.wait_log(text)
        wait_until(lambda: target.accepted >= 2, lambda: agent.log)
        agent.stop()
        assert not any("Traceback" in line for line in agent.log)
        return messages(agent)


@pytest.mark.parametrize("case", CERTIFICATES)
def test_certificate_that_will_not_do(serving: Installation, case: str) -> None:
    issue, text = CERTIFICATES[case]
    impostor = Impostor(issue(StateFolder(serving.state)))
    assert set(assert_told(serving, impostor, text)) == {CONNECTING}
    assert set(impostor.heard) == {b""}


def test_right_certificate_and_another_protocol(serving: Installation) -> None:
    impostor = Impostor(StateFolder(serving.state).authority().issue_proxy(MINE), alpn=None)
    assert set(assert_told(serving, impostor, "what answers is not a Proxy of SocksFusion")) == {CONNECTING}
    assert set(impostor.heard) == {b""}


def test_no_tls_at_all(serving: Installation) -> None:
    heard = []

    def web_server(connection: socket.socket) -> None:
        heard.append(connection.recv(65536)[:3])
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    text = "does not speak TLS 1.3 as a Proxy does"
    assert set(assert_told(serving, web_server, text)) == {CONNECTING}
    # a TLS record with a ClientHello: what anybody may read
    assert set(heard) == {b"\x16\x03\x01"}


def test_proxy_of_another_protocol_version(serving: Installation) -> None:
    hello = record({**HELLO, "protocol": 2})
    impostor = Impostor(
        StateFolder(serving.state).authority().issue_proxy(MINE), says=frame(DATA, SYN, 1, len(hello), hello)
    )
    text = "the Proxy speaks version 2 of the protocol and this Agent version 1: install the Agent that belongs"
    assert ESTABLISHED in assert_told(serving, impostor, text)


def registered(serving: Installation, name: str, issued: Issued, ca_pem: bytes) -> Path:
    with Registry.open(StateFolder(serving.state).registry_file) as registry:
        registry.add_agent(name, issued.digest)
    path = serving.folder / f"{name}.agent"
    AgentCopy(name, f"localhost:{serving.agents_port}", ca_pem, issued.certificate_pem, issued.key_pem).save(path)
    return path


@pytest.mark.parametrize("case", ["of tomorrow", "of yesterday"])
def test_copy_outside_its_time(serving: Installation, case: str) -> None:
    """A clock that is wrong on either side; the Proxy of the same installation answers."""
    proxy = serving.programs[0]
    since = len(proxy.log)
    if case == "of tomorrow":
        state = StateFolder(serving.state)
        authority = state.authority(time.time() + MONTH_SECONDS)
    else:
        authority, _ = Authority.create(lambda: time.time() - 21 * 365 * 86400)
    name = case.split()[-1]
    copy = registered(serving, name, authority.issue_agent(name), authority.ca_pem)
    agent = serving.start_agent(copy, serving=False)
    line = agent.wait_log("this machine's clock says ")
    assert f"set the clock, or get a new copy by: socksfusion agent renew {name}" in line
    proxy.wait_log("refused rule=agent-handshake", since=since)
    agent.stop()
    assert ESTABLISHED not in messages(agent)
