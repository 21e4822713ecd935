import os
import stat
from pathlib import Path

import pytest

from socksfusion import limits
from socksfusion.identity import private_files
from socksfusion.identity.private_files import (
    ExposedFileError,
    PrivateFileError,
    create_private,
    read_private,
    write_private,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def test_a_written_file_is_private_and_read_back(tmp_path: Path) -> None:
    os.umask(0)
    try:
        write_private(tmp_path / "key", b"secret")
    finally:
        os.umask(0o022)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read_private(tmp_path / "key") == b"secret"
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path / "key", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files.os, "fsync", full)
    with pytest.raises(PrivateFileError, match="No space left"):
        write_private(tmp_path / "key", b"new")
    assert read_private(tmp_path / "key") == b"old"
    assert os.listdir(tmp_path) == ["key"]


def test_create_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("taken", "dangling"):
        with pytest.raises(FileExistsError):
            create_private(tmp_path / name, b"new")
    assert (tmp_path / "taken").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert sorted(os.listdir(tmp_path)) == ["dangling", "taken"]


def test_write_replaces_a_planted_link_not_what_it_points_to(tmp_path: Path) -> None:
    """Row H5."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "key").symlink_to(tmp_path / "victim")
    write_private(tmp_path / "key", b"secret")
    assert (tmp_path / "victim").read_text() == "precious"
    assert read_private(tmp_path / "key") == b"secret"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o777])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Row H5."""
    write_private(tmp_path / "key", b"secret")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ExposedFileError, match="chmod 600"):
        read_private(tmp_path / "key")


def test_links_fifos_and_folders_are_refused_without_hanging(tmp_path: Path) -> None:
    write_private(tmp_path / "real", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("link", "fifo", "folder"):
        with pytest.raises(ExposedFileError, match="put the file itself there"):
            read_private(tmp_path / name)


@as_root
def test_a_foreign_owner_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    os.chown(tmp_path / "key", 54321, 54321)
    with pytest.raises(ExposedFileError, match="belongs to user 54321"):
        read_private(tmp_path / "key")


def test_missing_and_endless_files(tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="No such file"):
        read_private(tmp_path / "missing")
    write_private(tmp_path / "long", b"x" * (limits.PRIVATE_FILE_BYTES + 1))
    with pytest.raises(PrivateFileError, match="too long"):
        read_private(tmp_path / "long")
