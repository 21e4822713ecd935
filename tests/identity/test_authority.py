import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from socksfusion.errors import UsageError
from socksfusion.identity.authority import Authority, Issued, certificate_names
from tests.identity.conftest import Installation

NOW = 1_800_000_000.0
DAY = 86400


def parsed(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def usage(issued: Issued) -> list[x509.ObjectIdentifier]:
    return list(parsed(issued).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_ca_can_sign_leaves_only(installation: Installation) -> None:
    ca = x509.load_pem_x509_certificate(installation.authority.ca_pem)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_roles_stand_in_the_certificates(installation: Installation) -> None:
    assert usage(installation.agent) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert usage(installation.proxy) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_lifetimes() -> None:
    """CA and agents 20 years, the Proxy one year, and each begins an hour back."""
    authority, _ = Authority.create(lambda: NOW)
    ca = x509.load_pem_x509_certificate(authority.ca_pem)
    agent, proxy = parsed(authority.issue_agent("acme")), parsed(authority.issue_proxy(["localhost"]))
    assert {one.not_valid_before_utc.timestamp() for one in (ca, agent, proxy)} == {NOW - 3600}
    assert ca.not_valid_after_utc.timestamp() == agent.not_valid_after_utc.timestamp() == NOW + 20 * 365 * DAY
    assert proxy.not_valid_after_utc.timestamp() == NOW + 365 * DAY


def test_nothing_outlives_the_ca() -> None:
    _, key = made = Authority.create(lambda: NOW)
    late = Authority(made[0].ca_pem, key, lambda: NOW + 20 * 365 * DAY - 100 * DAY)
    ca = x509.load_pem_x509_certificate(late.ca_pem)
    for issued in (late.issue_agent("acme"), late.issue_proxy(["localhost"])):
        certificate = parsed(issued)
        assert certificate.not_valid_after_utc == ca.not_valid_after_utc
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=101)


def test_names_keep_their_order_and_kind(installation: Installation) -> None:
    names = parsed(installation.proxy).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["proxy.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    assert certificate_names(installation.proxy.certificate_pem) == ["proxy.example.org", "192.0.2.1", "2001:db8::1"]


def test_keys_are_each_their_own_unless_one_is_given(installation: Installation) -> None:
    authority = installation.authority
    assert authority.issue_agent("acme").digest != authority.issue_agent("acme").digest
    again = authority.issue_proxy(["localhost"], installation.proxy.key_pem)
    assert again.digest == installation.proxy.digest
    key = parsed(again).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_bad_names_are_refused(installation: Installation) -> None:
    with pytest.raises(UsageError):
        installation.authority.issue_agent("a/b")
    with pytest.raises(UsageError):
        installation.authority.issue_proxy(["*.example.org"])


def test_a_foreign_key_is_no_authority(installation: Installation, other_installation: Installation) -> None:
    with pytest.raises(ValueError, match="belong together"):
        Authority(installation.authority.ca_pem, other_installation.ca_key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees(installation: Installation, tmp_path: Path) -> None:
    """Chain and role as another program judges them, and the digest as it computes it."""
    (tmp_path / "ca").write_bytes(installation.authority.ca_pem)
    (tmp_path / "agent").write_bytes(installation.agent.certificate_pem)
    (tmp_path / "proxy").write_bytes(installation.proxy.certificate_pem)

    def verify(purpose: str, name: str) -> bool:
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            tmp_path / "ca",
            tmp_path / name,
        ]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert verify("sslclient", "agent")
    assert verify("sslserver", "proxy")
    assert not verify("sslserver", "agent")
    assert not verify("sslclient", "proxy")
    pipeline = f"openssl x509 -in {tmp_path}/agent -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum"
    shown = subprocess.run(pipeline, shell=True, capture_output=True, check=True, text=True).stdout
    assert shown.split()[0] == installation.agent.digest.hex()
