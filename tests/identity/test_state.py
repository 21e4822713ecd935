import multiprocessing
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from twisted.conch.ssh.keys import Key

from socksfusion.errors import StateError, UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity import private_files, state
from socksfusion.identity.state import StateFolder
from socksfusion.identity.state_checks import ExposedStateError
from tests.identity.conftest import of_no_version

DAY = 86400


def add_registry(path: Path) -> None:
    path.touch(0o600)


def make(path: Path, *names: str) -> StateFolder:
    folder = StateFolder(path)
    folder.create(names, add_registry)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "state"
    make(path, "proxy.example.org")
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> StateFolder:
    shutil.copytree(made, tmp_path / "state")
    return StateFolder(tmp_path / "state")


def last_day(folder: StateFolder) -> float:
    return x509.load_pem_x509_certificate(folder.proxy_pem()).not_valid_after_utc.timestamp()


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def test_everything_is_private(folder: StateFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in folder.path.iterdir()}
    keys = ["ca.pem", "ca.key", "proxy.pem", "proxy.key", "manhole_host_key", "authorized_keys"]
    names = [*keys, "version", "registry.sqlite"]
    assert modes == dict.fromkeys(names, 0o600)
    assert folder.open().exists


def test_the_host_key_is_one_that_conch_reads(folder: StateFolder) -> None:
    key = Key.fromFile(str(folder.manhole_host_key))
    assert key.sshType() == b"ssh-ed25519"
    assert not key.isPublic()


def test_names(folder: StateFolder) -> None:
    assert folder.names() == ["proxy.example.org"]
    assert folder.certificate_names() == ["proxy.example.org", "localhost", "127.0.0.1", "::1"]


def test_a_name_is_added_with_the_same_key(folder: StateFolder) -> None:
    key, before = folder.proxy_key_pem(), folder.proxy_pem()
    assert folder.add_names(["proxy.example.org", "LOCALHOST"]) == []
    assert folder.proxy_pem() == before
    assert folder.add_names(["192.0.2.1", "proxy.example.org", "192.0.2.1"]) == ["192.0.2.1"]
    assert folder.names() == ["proxy.example.org", "192.0.2.1"]
    assert folder.proxy_key_pem() == key
    folder.open()


def test_a_bad_name_changes_nothing(folder: StateFolder, tmp_path: Path) -> None:
    before = contents(folder.path)
    with pytest.raises(UsageError):
        folder.add_names(["new.example.org", "*.example.org"])
    assert contents(folder.path) == before
    with pytest.raises(UsageError):
        make(tmp_path / "other", "a b")
    assert not (tmp_path / "other").exists()


def test_the_certificate_is_renewed_in_its_last_30_days(folder: StateFolder) -> None:
    last, before = last_day(folder), folder.proxy_pem()
    assert not folder.renew_proxy_certificate_if_due(last - 30 * DAY)
    assert folder.proxy_pem() == before
    assert folder.renew_proxy_certificate_if_due(last - 30 * DAY + 1)
    assert last_day(folder) == pytest.approx(last + 335 * DAY, abs=2)
    assert folder.names() == ["proxy.example.org"]
    assert folder.renew_proxy_certificate_if_due(last_day(folder) + DAY), "also once it has expired"


def test_a_certificate_that_is_not_valid_yet_is_issued_anew(folder: StateFolder) -> None:
    """Issued under a clock that was years ahead, and was set right since."""
    now = time.time()
    assert folder.renew_proxy_certificate_if_due(now + 3 * 365 * DAY)
    assert folder.renew_proxy_certificate_if_due(now)
    assert last_day(folder) == pytest.approx(now + 365 * DAY, abs=2)
    assert not folder.renew_proxy_certificate_if_due(now)


@pytest.mark.parametrize("off", [-400 * DAY, 21 * 365 * DAY])
def test_a_clock_outside_the_cas_years_is_told(folder: StateFolder, off: float) -> None:
    before = contents(folder.path)
    with pytest.raises(StateError, match="set the clock"):
        folder.renew_proxy_certificate_if_due(time.time() + off)
    assert contents(folder.path) == before


# -- creation is all or nothing -----------------------------------------------------------------------------------


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o755)
    make(tmp_path / "state").open()


@pytest.mark.parametrize("name", ["photo.jpg", "ca.key", ".hidden"])
def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StateError, match="holds other files"):
        make(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_places_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StateError, match="is not a folder"):
        make(tmp_path / "file")
    with pytest.raises(StateError, match="No such file"):
        make(tmp_path / "no" / "parent")


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.touch(0o600)
        raise StateError("no registry today")

    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(StateError, match="no registry today"):
            StateFolder(tmp_path / name).create([], fails)
    assert not (tmp_path / "new").exists()
    assert os.listdir(tmp_path / "empty") == []


def create_and_die(path: Path, writes: int) -> None:
    """In a child: as ``create``, but the power goes after so many files."""
    left = writes

    def write_or_die(file: Path, data: bytes) -> None:
        nonlocal left
        if left == 0:
            (file.parent / f".{file.name}.half").write_bytes(data[:10])
            os._exit(9)
        left -= 1
        private_files.write_private(file, data)

    state.write_private = write_or_die
    make(path, "proxy.example.org")


def in_child(function: Callable[..., None], *arguments: object) -> int | None:
    # of a process without threads: what a fork of this one would copy locked stays locked
    child = multiprocessing.get_context("forkserver").Process(target=function, args=arguments)
    child.start()
    child.join()
    return child.exitcode


@pytest.mark.parametrize("writes", range(7))
def test_a_create_that_was_killed_is_told_and_repeated(tmp_path: Path, writes: int) -> None:
    """Row H1."""
    folder = StateFolder(tmp_path / "state")
    assert in_child(create_and_die, folder.path, writes) == 9
    assert not folder.exists
    with pytest.raises(StateError, match="never finished; type again"):
        folder.open()
    folder.create(["proxy.example.org"], add_registry)
    folder.open()
    assert len(os.listdir(folder.path)) == 8


def test_the_loser_of_two_creates_leaves_the_winners(tmp_path: Path) -> None:
    """The second comes to its turn after the first has finished."""
    folder = StateFolder(tmp_path / "state")
    folder.path.mkdir(0o700)
    (folder.path / ".unfinished").touch()
    late = StateFolder(folder.path)
    late._make_folder()
    folder.create([], add_registry)
    before = contents(folder.path)
    late._make_folder = lambda: False  # type: ignore[method-assign]  # it has looked already
    with pytest.raises(StateError, match="has just made"):
        late.create([], add_registry)
    assert contents(folder.path) == before


# -- bad state folders --------------------------------------------------------------------------------------------


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        StateError, match=r"there is no state folder .*make it by: socksfusion init --state .* --name HOST"
    ):
        StateFolder(tmp_path / "none").open()
    tmp_path.chmod(0o700)
    with pytest.raises(StateError, match="is not a state folder"):
        StateFolder(tmp_path).open()


@pytest.mark.parametrize("name", ["ca.key", "proxy.key", "manhole_host_key", "registry.sqlite", "ca.pem", "version"])
def test_a_file_that_others_can_read(folder: StateFolder, name: str) -> None:
    """Row H5."""
    (folder.path / name).chmod(0o644)
    with pytest.raises(ExposedStateError, match=f"{name}.*chmod 600") as caught:
        folder.open()
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_folder_that_others_can_read(folder: StateFolder) -> None:
    folder.path.chmod(0o750)
    with pytest.raises(ExposedStateError, match="chmod 700"):
        folder.open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_owner(folder: StateFolder, tmp_path: Path) -> None:
    os.chown(folder.path, 54321, 54321)
    with pytest.raises(StateError, match=r"belongs to user 54321.*run it as 54321"):
        folder.open()
    (tmp_path / "empty").mkdir()
    os.chown(tmp_path / "empty", 54321, 54321)
    with pytest.raises(StateError, match="belongs to user 54321"):
        make(tmp_path / "empty")


@pytest.mark.parametrize("text", ["2\n", "99"])
def test_another_version(folder: StateFolder, text: str) -> None:
    folder.version_file.write_text(text)
    with pytest.raises(StateError, match=f"is of version {text.strip()}, and this program uses version 1"):
        folder.open()


@pytest.mark.parametrize("data", [b"", b"one", b"\xff\xfe"])
def test_a_damaged_version(folder: StateFolder, data: bytes) -> None:
    folder.version_file.write_bytes(data)
    with pytest.raises(StateError, match="version is damaged"):
        folder.open()


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "proxy.key", "proxy.pem"])
def test_torn_and_missing_files(folder: StateFolder, name: str) -> None:
    """Row H5."""
    path = folder.path / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateError, match="is damaged; restore it from a backup"):
        folder.open()
    path.unlink()
    with pytest.raises(StateError, match=f"{name} is missing"):
        folder.open()


@pytest.mark.parametrize("name", ["ca.pem", "proxy.pem"])
def test_a_certificate_of_no_version(folder: StateFolder, name: str) -> None:
    path = folder.path / name
    path.write_bytes(of_no_version(path.read_bytes()))
    with pytest.raises(StateError, match="is damaged; restore it from a backup"):
        folder.open()


def test_a_key_that_is_not_the_certificates(folder: StateFolder, tmp_path: Path) -> None:
    folder.proxy_key_file.write_bytes(make(tmp_path / "other").proxy_key_pem())
    with pytest.raises(StateError, match=r"proxy\.pem or proxy\.key .* is damaged"):
        folder.open()


def test_a_planted_link(folder: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(folder.ca_key_file.read_bytes())
    folder.ca_key_file.unlink()
    folder.ca_key_file.symlink_to(tmp_path / "theirs")
    with pytest.raises(ExposedStateError):
        folder.open()
