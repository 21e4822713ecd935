"""What answers in the Proxy's place and is not it: the Agent says nothing to it and tells its admin why (row F3)."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry
from tests.end_to_end.impostor import CERTIFICATES, MINE, MONTH_SECONDS, Impostor
from tests.end_to_end.lines import CONNECTING, ESTABLISHED, messages
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Installation, wait_until
from tests.end_to_end.raw_agent import DATA, HELLO, SYN, frame, record


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
