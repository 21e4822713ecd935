"""Which keys may come in: made and judged with ssh-keygen where it is there."""

import shutil
import subprocess
from pathlib import Path

import pytest

from socksfusion.errors import StateError, UsageError
from socksfusion.manhole.keys import AuthorizedKeysError, fingerprint, load_host_key, read_authorized_keys

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def keygen(folder: Path, name: str, *arguments: str) -> Path:
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", name, "-f", file, *arguments], check=True, timeout=30)
    return file


@needs_keygen
@pytest.mark.parametrize("kind", [["ed25519"], ["ecdsa", "-b", "256"], ["ecdsa", "-b", "521"], ["rsa", "-b", "2048"]])
def test_keys_and_fingerprints_as_openssh_has_them(tmp_path: Path, kind: list[str]) -> None:
    key = keygen(tmp_path, "me", "-t", *kind)
    file = tmp_path / "authorized_keys"
    file.write_bytes(b"\n# a comment\n" + key.with_suffix(".pub").read_bytes())
    file.chmod(0o644)
    ((blob, comment),) = read_authorized_keys(file).items()
    assert comment == "me"
    shown = subprocess.run(["ssh-keygen", "-lf", key], check=True, timeout=30, capture_output=True, text=True).stdout
    assert fingerprint(blob) in shown.split()


@needs_keygen
def test_lines_that_wont_do_are_left_out(tmp_path: Path) -> None:
    good = keygen(tmp_path, "good", "-t", "ed25519").with_suffix(".pub").read_text()
    short = keygen(tmp_path, "short", "-t", "rsa", "-b", "1024").with_suffix(".pub").read_text()
    kind, blob, _ = good.split()
    file = tmp_path / "authorized_keys"
    file.write_text(
        "\n".join(
            [
                f'from="192.0.2.1" {good}',
                f"restrict {good}",
                f"ssh-rsa {blob} of another type",
                f"{kind} {blob[:-8]} damaged",
                f"{kind} !!!",
                kind,
                "ssh-dss AAAAB3NzaC1kc3M=",
                "\x00\xff\x1b",
                short,
            ]
        )
    )
    file.chmod(0o600)
    assert read_authorized_keys(file) == {}


def test_a_file_that_others_may_write_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "authorized_keys"
    file.write_text("")
    file.chmod(0o602)
    with pytest.raises(AuthorizedKeysError, match="others may write"):
        read_authorized_keys(file)
    with pytest.raises(AuthorizedKeysError, match="can't read"):
        read_authorized_keys(tmp_path / "none")
    with pytest.raises(AuthorizedKeysError, match=r"regular file|can't read"):
        read_authorized_keys(tmp_path)


def test_the_host_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "host_key"
    first = load_host_key(file)
    assert first.sshType() == b"ssh-ed25519"
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_host_key(file).blob() == first.blob()
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others can use"):
        load_host_key(file)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_host_key_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "host_key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(StateError, match="private SSH key"):
        load_host_key(file)


def test_a_host_key_that_cant_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="can't make"):
        load_host_key(tmp_path / "no" / "host_key")
