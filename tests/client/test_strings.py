"""client.strings: what ``clientFromString`` makes of it; nothing that is given goes unread."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.endpoints import clientFromString, quoteStringArgument
from twisted.internet.protocol import Factory, Protocol

from socksfusion.client import SocksFusionEndpoint
from socksfusion.client.strings import EndpointStringError
from tests.resolving_reactor import ResolvingReactor
from tests.test_negotiation import Transport
from tests.tunnel.certificates import authority

SECRET = "xK4-secret-token"


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    return quoteStringArgument(str(file))


def sent(text: str, *answers: bytes) -> tuple[tuple[str, int], bytes]:
    """Whom an endpoint of this string dials, and what it says there."""
    reactor = ResolvingReactor()
    endpoint = clientFromString(reactor, text)
    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
    host, port, factory, *_ = reactor.tcpClients[0]
    transport: Any = Transport()
    protocol = factory.buildProtocol(None)
    protocol.makeConnection(transport)
    for answer in answers:
        protocol.dataReceived(answer)
    return (host, port), transport.value()


def test_target_alone() -> None:
    assert isinstance(clientFromString(ResolvingReactor(), "socksfusion:host=h:port=1"), SocksFusionEndpoint)
    there, said = sent("socksfusion:host=www.example:port=443", b"\x05\x00")
    assert there == ("127.0.0.1", 1080)
    assert said == b"\x05\x01\x00" + b"\x05\x01\x00\x03\x0bwww.example\x01\xbb"


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [("192.0.2.1\\:1081", "192.0.2.1:1081"), ("[2001\\:db8\\:\\:1]\\:9", "[2001:db8::1]:9")],
)
def test_another_proxy(proxy: str, shown: str) -> None:
    endpoint = clientFromString(ResolvingReactor(), f"socksfusion:host=h:port=1:proxy={proxy}")
    assert repr(endpoint) == f"<h:1 through <the Proxy at {shown}>>"


@pytest.mark.parametrize(("client", "user"), [("", b"acme"), (":client=scan1", b"scan1@acme")])
def test_with_a_login(token: str, client: str, user: bytes) -> None:
    text = f"socksfusion:host=h:port=1:agent=acme:token-file={token}{client}"
    said = sent(text, b"\x05\x02")[1]
    assert said == b"\x05\x01\x02\x01" + bytes([len(user)]) + user + bytes([len(SECRET)]) + SECRET.encode()


@pytest.mark.parametrize("ca", [False, True])
def test_with_tls_the_first_byte_is_a_handshakes(tmp_path: Path, ca: bool) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority().ca_pem + authority(1).ca_pem)
    named = f":ca={quoteStringArgument(str(file))}" if ca else ""
    assert sent(f"socksfusion:host=h:port=1:proxy=proxy.example.org\\:1081:tls=yes{named}")[1][:1] == b"\x16"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("www.example:443", "has no name"),
        ("host=h:port=1:proxy=p:1080", r"'1080' has no name; .* a colon within a value as \\:$"),
        ("host=h", "port is missing"),
        ("port=1", "host is missing"),
        ("host=:port=1", "host is missing"),
        ("host=h:port=0", "no port"),
        ("host=h:port=http", "^socksfusion: port: 'http' is no port"),
        ("host=h:port=70000", "no port"),
        ("host=h:port=1:agnet=acme", "unknown argument 'agnet'"),
        ("host=h:port=1:token=abc", "unknown argument 'token'"),
        ("host=h:port=1:agent=acme", "needs token-file"),
        ("host=h:port=1:client=scan1", "client says nothing without agent"),
        ("host=h:port=1:token-file=/nowhere", "token-file says nothing without agent"),
        ("host=h:port=1:agent=acme:token-file=/nowhere", "can't read"),
        ("host=h:port=1:proxy=nowhere", "write HOST"),
        ("host=h:port=1:proxy=a b\\:1", "neither a host name"),
        ("host=h:port=1:proxy=a\\:b", "no port"),
        ("host=h:port=1:tls=maybe", "write yes or no"),
        ("host=h:port=1:ca=/nowhere", "ca says nothing without tls"),
        ("host=h:port=1:tls=yes:ca=/nowhere", "can't read ca"),
    ],
)
def test_what_cant_be_used(text: str, complaint: str) -> None:
    with pytest.raises(EndpointStringError, match=complaint) as raised:
        clientFromString(ResolvingReactor(), f"socksfusion:{text}")
    assert isinstance(raised.value, ValueError)


def test_a_token_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o644)
    with pytest.raises(EndpointStringError, match="chmod 600"):
        clientFromString(ResolvingReactor(), f"socksfusion:host=h:port=1:agent=a:token-file={file}")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 300])
def test_a_token_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(EndpointStringError, match="token-file"):
        clientFromString(ResolvingReactor(), f"socksfusion:host=h:port=1:agent=a:token-file={file}")


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_authorities_that_are_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(content)
    with pytest.raises(EndpointStringError, match="no certificates"):
        clientFromString(ResolvingReactor(), f"socksfusion:host=h:port=1:tls=yes:ca={file}")
