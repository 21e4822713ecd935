"""Both contexts against each other over memory BIOs: who gets in, and who doesn't."""

import datetime
import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from socksfusion.identity import tls
from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.keys import dump_key, load_key
from tests.identity.conftest import Installation, of_no_version

YEAR = 365 * 86400

# what pyOpenSSL deprecates it removes some day, and with it our only way to TLS
pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


class Pair:
    """A Proxy's and an Agent's connection, and what each side's handshake came to."""

    def __init__(self, proxy: SSL.Context, agent: SSL.Context, session: SSL.Session | None = None) -> None:
        self.proxy, self.agent = SSL.Connection(proxy, None), SSL.Connection(agent, None)
        if session is not None:
            self.agent.set_session(session)
        self.proxy.set_accept_state()
        self.agent.set_connect_state()
        self.proxy_error: SSL.Error | None = None
        self.agent_error: SSL.Error | None = None
        self.proxy_done = self.agent_done = False
        self.first_flight = 0
        for _ in range(4):
            self.agent_done, self.agent_error = step(self.agent, self.agent_done, self.agent_error)
            move(self.agent, self.proxy)
            self.proxy_done, self.proxy_error = step(self.proxy, self.proxy_done, self.proxy_error)
            moved = move(self.proxy, self.agent)
            self.first_flight = self.first_flight or moved

    @property
    def stands(self) -> bool:
        return self.proxy_done and self.agent_done and not self.proxy_error and not self.agent_error


def step(connection: SSL.Connection, done: bool, error: SSL.Error | None) -> tuple[bool, SSL.Error | None]:
    if error is not None:
        return done, error
    try:
        if done:
            connection.recv(1)
        else:
            connection.do_handshake()
            done = True
    except SSL.WantReadError:
        pass
    except SSL.Error as failed:
        error = failed
    return done, error


def move(source: SSL.Connection, sink: SSL.Connection) -> int:
    try:
        data = source.bio_read(1 << 20)
    except SSL.WantReadError:
        return 0
    return sink.bio_write(data)


def proxy_of(installation: Installation) -> SSL.Context:
    return tls.proxy_context(
        installation.authority.ca_pem, installation.proxy.certificate_pem, installation.proxy.key_pem
    )


@pytest.fixture
def pair(installation: Installation) -> Pair:
    return Pair(proxy_of(installation), tls.agent_context(installation.copy()))


def test_an_honest_pair(installation: Installation, pair: Pair) -> None:
    assert pair.stands
    for connection in (pair.proxy, pair.agent):
        assert connection.get_protocol_version_name() == "TLSv1.3"
        assert connection.get_cipher_name() == "TLS_AES_128_GCM_SHA256"
        assert tls.is_tunnel(connection)
        assert tls.verify_error(connection) is None
    assert tls.peer_key_digest(pair.proxy) == installation.agent.digest
    assert tls.peer_key_digest(pair.agent) == installation.proxy.digest


@pytest.mark.parametrize("host", ["proxy.example.org", "192.0.2.1", "2001:db8::1", "2001:DB8:0::1"])
def test_the_proxys_names(pair: Pair, host: str) -> None:
    tls.verify_proxy_name(pair.agent, host)


@pytest.mark.parametrize("host", ["example.org", "evil.example.org", "192.0.2.2", "::1", "localhost", "a_b\x1b", ""])
def test_another_name_is_told_with_the_right_ones(pair: Pair, host: str) -> None:
    with pytest.raises(tls.WrongProxyName, match=r"proxy\.example\.org, 192\.0\.2\.1, 2001:db8::1") as caught:
        tls.verify_proxy_name(pair.agent, host)
    assert str(caught.value).isprintable()


def test_one_send_takes_all(pair: Pair) -> None:
    """What clear_mode(SSL_MODE_ENABLE_PARTIAL_WRITE) is for."""
    assert pair.agent.send(b"x" * 300_000) == 300_000


def test_no_digest_before_the_handshake(installation: Installation) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        tls.peer_key_digest(SSL.Connection(proxy_of(installation), None))


# -- row A3: nothing but a full TLS 1.3 handshake -----------------------------------------------------------------


def test_no_session_is_resumed(installation: Installation) -> None:
    """An agent that brings the session of an earlier connection runs the full handshake all the same.

    In a resumed one the Proxy sends no certificate (RFC 8446, section 4.4.2), so its first flight is much shorter.
    """
    proxy, agent = proxy_of(installation), tls.agent_context(installation.copy())
    first = Pair(proxy, agent)
    again = Pair(proxy, agent, first.agent.get_session())
    assert again.stands
    assert tls.peer_key_digest(again.proxy) == installation.agent.digest
    assert again.first_flight > len(installation.proxy.certificate_pem)


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION])
def test_older_protocols_are_refused(installation: Installation, version: int) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    context.set_alpn_protos([tls.ALPN])
    context.use_certificate(x509.load_pem_x509_certificate(installation.agent.certificate_pem))
    pair = Pair(proxy_of(installation), context)
    assert pair.proxy_error is not None
    assert not pair.proxy_done


# -- row A4: an exception in a callback ends the handshake --------------------------------------------------------


def test_a_broken_verdict_lets_nobody_in(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(tls, "_note_verdict", broken)
    proxy = proxy_of(installation)
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="a bug"):
        Pair(proxy, tls.agent_context(installation.copy()))


def test_a_broken_alpn_choice_lets_nobody_in(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> bytes:
        raise RuntimeError("a bug")

    monkeypatch.setattr(tls, "_select_alpn", broken)
    proxy = proxy_of(installation)
    with pytest.raises(RuntimeError, match="a bug"):
        Pair(proxy, tls.agent_context(installation.copy()))


def test_another_protocol_is_no_tunnel(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "ALPN", b"http/1.1")
    agent = tls.agent_context(installation.copy())
    monkeypatch.undo()
    pair = Pair(proxy_of(installation), agent)
    assert not tls.is_tunnel(pair.proxy)
    assert not tls.is_tunnel(pair.agent)


# -- row A5: certificates that are not an agent's of this CA ------------------------------------------------------


def forge(
    issuer: x509.Name, signer: ec.EllipticCurvePrivateKey | None, *, ca: bool = False, common_name: str = "acme"
) -> tuple[Issued, ec.EllipticCurvePrivateKey]:
    """A certificate as a stranger would make it, signed by ``signer`` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer or key, hashes.SHA256())
    )
    return Issued(certificate.public_bytes(serialization.Encoding.PEM), dump_key(key), b""), key


def test_a_strangers_certificate_of_no_version_has_no_issuer(installation: Installation, tmp_path: Path) -> None:
    """Whoever answers in the Proxy's place must not break the Agent's way to say why, and to dial again."""
    stranger, _ = forge(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stranger")]), None)
    (tmp_path / "stranger.pem").write_bytes(of_no_version(stranger.certificate_pem))
    proxy = SSL.Context(SSL.TLS_METHOD)
    proxy.use_certificate_file(str(tmp_path / "stranger.pem"))
    proxy.use_privatekey(load_key(stranger.key_pem))
    pair = Pair(proxy, tls.agent_context(installation.copy()))
    assert pair.agent_error is not None
    assert tls.verify_error(pair.agent) is not None
    assert tls.refused_issuer(pair.agent) is None


def agent_key(installation: Installation) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(installation.agent.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def subject(pem: bytes) -> x509.Name:
    return x509.load_pem_x509_certificate(pem).subject


def self_signed(_ours: Installation, _other: Installation) -> Issued:
    return forge(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")]), None)[0]


def from_another_ca(_ours: Installation, other: Installation) -> Issued:
    return other.agent


def from_a_ca_of_our_cas_name(ours: Installation, _other: Installation) -> Issued:
    stranger = ec.generate_private_key(ec.SECP256R1())
    return forge(subject(ours.authority.ca_pem), stranger)[0]


def signed_by_an_agent(ours: Installation, _other: Installation) -> Issued:
    issued, _ = forge(subject(ours.agent.certificate_pem), agent_key(ours))
    return issued._replace(certificate_pem=issued.certificate_pem + ours.agent.certificate_pem)


def the_proxys_own(ours: Installation, _other: Installation) -> Issued:
    return ours.proxy


def authority_at(ours: Installation, when: float) -> Authority:
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return Authority(ours.authority.ca_pem, ours.ca_key, lambda: now + when)


def not_valid_yet(ours: Installation, _other: Installation) -> Issued:
    return authority_at(ours, YEAR).issue_agent("acme")


BAD: list[Callable[[Installation, Installation], Issued]] = [
    self_signed,
    from_another_ca,
    from_a_ca_of_our_cas_name,
    signed_by_an_agent,
    the_proxys_own,
    not_valid_yet,
]


@pytest.mark.parametrize("make", BAD)
def test_bad_certificates_stay_out(
    installation: Installation, other_installation: Installation, make: Callable[..., Issued]
) -> None:
    issued = make(installation, other_installation)
    pair = Pair(proxy_of(installation), tls.agent_context(installation.copy(issued)))
    assert not pair.proxy_done
    assert "certificate verify failed" in str(pair.proxy_error)
    assert tls.verify_error(pair.proxy) is not None
    assert "alert" in str(pair.agent_error)


def test_no_certificate_stays_out(installation: Installation) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_alpn_protos([tls.ALPN])
    pair = Pair(proxy_of(installation), context)
    assert not pair.proxy_done
    assert "peer did not return a certificate" in str(pair.proxy_error)


def test_an_installation_that_has_ended() -> None:
    """Expired on both sides; the verdict says so: X509_V_ERR_CERT_HAS_EXPIRED is 10 in openssl/x509_vfy.h."""
    past = datetime.datetime.now(datetime.UTC).timestamp() - 21 * YEAR
    authority, _ = Authority.create(lambda: past)
    proxy, agent = authority.issue_proxy(["localhost"]), authority.issue_agent("acme")
    copy = AgentCopy("acme", "localhost:443", authority.ca_pem, agent.certificate_pem, agent.key_pem)
    pair = Pair(tls.proxy_context(authority.ca_pem, proxy.certificate_pem, proxy.key_pem), tls.agent_context(copy))
    assert not pair.agent_done
    assert tls.verify_error(pair.agent) == 10


def test_an_agent_cannot_be_the_proxy(installation: Installation) -> None:
    """X509_V_ERR_INVALID_PURPOSE is 26 in openssl/x509_vfy.h."""
    impostor = tls.proxy_context(
        installation.authority.ca_pem, installation.agent.certificate_pem, installation.agent.key_pem
    )
    pair = Pair(impostor, tls.agent_context(installation.copy()))
    assert not pair.agent_done
    assert tls.verify_error(pair.agent) == 26


def test_a_proxy_of_another_installation_is_refused(
    installation: Installation, other_installation: Installation
) -> None:
    pair = Pair(proxy_of(other_installation), tls.agent_context(installation.copy()))
    assert not pair.agent_done
    assert "certificate verify failed" in str(pair.agent_error)


def test_verdicts_are_forgotten_with_their_connection(
    installation: Installation, other_installation: Installation
) -> None:
    gc.collect()
    before = len(tls._verify_errors)
    pair = Pair(proxy_of(other_installation), tls.agent_context(installation.copy()))
    assert len(tls._verify_errors) == before + 1
    del pair
    gc.collect()
    assert len(tls._verify_errors) == before


def test_damaged_pem(installation: Installation) -> None:
    good = installation.authority.ca_pem, installation.proxy.certificate_pem, installation.proxy.key_pem
    for place in range(3):
        parts = [part[:100] if number == place else part for number, part in enumerate(good)]
        with pytest.raises(ValueError, match=r"."):
            tls.proxy_context(*parts)
    with pytest.raises((SSL.Error, crypto.Error)):
        tls.proxy_context(*good[:2], installation.agent.key_pem)
