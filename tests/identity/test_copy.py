import contextlib
import dataclasses
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion.errors import CopyError, UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.authority import Authority
from socksfusion.identity.copy import AgentCopy, ExposedCopyError
from socksfusion.identity.private_files import write_private
from tests.identity.conftest import Installation, of_no_version

YEAR = 365 * 86400


@pytest.fixture
def saved(installation: Installation, tmp_path: Path) -> Path:
    path = tmp_path / "acme.agent"
    installation.copy().save(path)
    return path


def test_a_saved_copy_is_private_and_read_back(installation: Installation, saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert AgentCopy.load(saved) == installation.copy()
    assert AgentCopy.load(saved).clock_problem() is None


def test_save_never_replaces(installation: Installation, saved: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        installation.copy().save(saved)
    with pytest.raises(CopyError, match="No such file"):
        installation.copy().save(saved.parent / "no" / "folder")


def test_the_key_is_not_shown(installation: Installation) -> None:
    assert "PRIVATE" not in repr(installation.copy())


def test_a_copy_that_others_can_read_is_refused(saved: Path) -> None:
    """Row H5."""
    saved.chmod(0o644)
    with pytest.raises(ExposedCopyError, match="chmod 600") as caught:
        AgentCopy.load(saved)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_missing_copy(tmp_path: Path) -> None:
    with pytest.raises(CopyError, match="No such file"):
        AgentCopy.load(tmp_path / "missing")


def with_lines(copy: AgentCopy, path: Path, lines: str) -> Path:
    copy.save(path)
    write_private(path, path.read_bytes().replace(b"ca = ", lines.encode() + b"\nca = ", 1))
    return path


def test_what_was_agreed_is_read_back_and_no_older_program_runs_it(installation: Installation, tmp_path: Path) -> None:
    copy = dataclasses.replace(
        installation.copy(), scope=("10.20.0.0/16", "2001:db8::/32", "192.0.2.7"), expires=1_796_000_000.0
    )
    copy.save(tmp_path / "x.agent")
    assert AgentCopy.load(tmp_path / "x.agent") == copy
    text = (tmp_path / "x.agent").read_text()
    assert "\nversion = 2\n" in text
    assert '\nscope = ["10.20.0.0/16", "2001:db8::/32", "192.0.2.7"]\n' in text
    assert "\nexpires = 2026-11-30T00:53:20+00:00\n" in text


@pytest.mark.parametrize("agreed", [{"scope": ("10.0.0.0/8",)}, {"expires": 1_796_000_000.0}, {}], ids=str)
def test_only_what_was_agreed_raises_the_version(
    installation: Installation, tmp_path: Path, agreed: dict[str, Any]
) -> None:
    dataclasses.replace(installation.copy(), **agreed).save(tmp_path / "x.agent")
    assert f"\nversion = {2 if agreed else 1}\n" in (tmp_path / "x.agent").read_text()


def test_a_scope_counts_in_a_copy_of_version_1_too(installation: Installation, tmp_path: Path) -> None:
    path = with_lines(
        installation.copy(), tmp_path / "x.agent", "scope = ['10.0.0.0/8']\nexpires = 2030-01-01T00:00:00Z"
    )
    assert AgentCopy.load(path).scope == ("10.0.0.0/8",)
    assert AgentCopy.load(path).expires == 1_893_456_000.0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("scope = []", "its scope is no list of networks"),
        ("scope = '10.0.0.0/8'", "its scope is no list of networks"),
        ("scope = [10]", "its scope is no list of networks"),
        ("scope = ['10.0.0.1/8']", r"its scope names 10\.0\.0\.1/8: .* did you mean 10\.0\.0\.0/8"),
        ("expires = 5", "its expires is no time"),
        ("expires = 2030-01-01", "its expires is no time"),
        ("expires = 2030-01-01T00:00:00", "its expires is no time"),
    ],
)
def test_an_agreement_that_cannot_be_kept_is_damage(
    installation: Installation, tmp_path: Path, lines: str, said: str
) -> None:
    path = with_lines(installation.copy(), tmp_path / "x.agent", lines)
    with pytest.raises(CopyError, match=said):
        AgentCopy.load(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_half_a_copy_is_damaged(saved: Path, part: float) -> None:
    data = saved.read_bytes()
    write_private(saved, data[: int(len(data) * part)])
    with pytest.raises(CopyError, match=r"is damaged|not an Agent copy"):
        AgentCopy.load(saved)


@given(place=st.integers(0, 1700), byte=st.integers(0, 255))
def test_a_flipped_byte_gives_a_copy_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, installation: Installation, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("copies") / "acme.agent"
    installation.copy().save(path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    write_private(path, bytes(data))
    with contextlib.suppress(CopyError):
        AgentCopy.load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an Agent copy"),
        ("hello", "is damaged"),
        ("\xff\xfe", "not an Agent copy|is damaged"),
        ("version = 1\nagent = 'acme'\n", "not an Agent copy"),
        ("version = '1'\nprivate_key = ''", "not an Agent copy"),
        ("version = true\nprivate_key = ''", "not an Agent copy"),
        ("version = 3\n", "copy of version 3, and this program reads versions 1 to 2; install a newer"),
        ("version = 1\nprivate_key = ''\nagent = 7\n", "agent, proxy, ca, certificate is missing"),
    ],
)
def test_foreign_files_and_versions(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.agent"
    write_private(path, text.encode())
    with pytest.raises(CopyError, match=said):
        AgentCopy.load(path)


def test_a_certificate_of_no_version(installation: Installation, tmp_path: Path) -> None:
    copy = installation.copy()
    odd = dataclasses.replace(copy, certificate_pem=of_no_version(copy.certificate_pem))
    odd.save(tmp_path / "x.agent")
    with pytest.raises(CopyError, match="can't be used"):
        AgentCopy.load(tmp_path / "x.agent")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    write_private(tmp_path / "x.agent", bytes(range(256)))
    with pytest.raises(CopyError, match="can't be parsed"):
        AgentCopy.load(tmp_path / "x.agent")


def test_brackets_without_end(tmp_path: Path) -> None:
    write_private(tmp_path / "x.agent", b"version = " + b"[" * 20_000)
    with pytest.raises(CopyError, match="can't be parsed"):
        AgentCopy.load(tmp_path / "x.agent")


def test_keys_of_a_later_version_are_skipped(installation: Installation, saved: Path) -> None:
    write_private(saved, saved.read_bytes() + b"\nhint = 'of a later program'\n")
    assert AgentCopy.load(saved) == installation.copy()


def test_parts_that_do_not_belong_together(
    installation: Installation, other_installation: Installation, tmp_path: Path
) -> None:
    good, other = installation.copy(), other_installation.copy()
    cases = {
        "key": dataclasses.replace(good, key_pem=other.key_pem),
        "can't be used": dataclasses.replace(good, ca_pem=other.ca_pem),
        "can't be an agent's name": dataclasses.replace(good, agent="a/b"),
        "no HOST:PORT": dataclasses.replace(good, proxy="proxy:0"),
    }
    for number, (said, copy) in enumerate(cases.items()):
        copy.save(tmp_path / f"{number}")
        with pytest.raises(CopyError, match=said):
            AgentCopy.load(tmp_path / f"{number}")


def test_a_wrong_clock_is_told() -> None:
    authority, _ = Authority.create(lambda: 1_800_000_000.0)
    issued = authority.issue_agent("acme")
    copy = AgentCopy("acme", "localhost:443", authority.ca_pem, issued.certificate_pem, issued.key_pem)
    assert copy.clock_problem(1_800_000_000.0 - 3599) is None
    assert copy.clock_problem(1_800_000_000.0 + 19 * YEAR) is None
    for wrong in (0.0, 1_800_000_000.0 - 3601, 1_800_000_000.0 + 21 * YEAR):
        assert "set the clock" in str(copy.clock_problem(wrong))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_owner_is_refused(saved: Path) -> None:
    os.chown(saved, 54321, 54321)
    with pytest.raises(ExposedCopyError, match="belongs to user"):
        AgentCopy.load(saved)
