"""Bundles, and archives that are none: row H4 of the attacks."""

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from socksfusion import limits
from socksfusion.identity import bundle
from socksfusion.identity.bundle import BundleError, mode_of, pack, read, write


def archive(*entries: tuple[str, bytes, int], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, content, mode in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = compression
            made.writestr(info, content)
    return out.getvalue()


def lying_about_its_size() -> bytes:
    """A bomb whose heads say that it is small."""
    data = bytearray(archive(("bomb", bytes(limits.BUNDLE_BYTES + 2), 0o100644)))
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, central + 24, 5)
    struct.pack_into("<L", data, data.index(b"PK\x03\x04") + 22, 5)
    return bytes(data)


EVIL: dict[str, Callable[[], bytes]] = {
    "an absolute path": lambda: archive(("/etc/cron.d/x", b"x", 0o100644)),
    "a way out": lambda: archive(("../x", b"x", 0o100644)),
    "a way out for Windows": lambda: archive(("..\\x", b"x", 0o100644)),
    "a drive": lambda: archive(("C:x", b"x", 0o100644)),
    "a device": lambda: archive(("NUL.txt", b"x", 0o100644)),
    "a link": lambda: archive(("x", b"/etc/passwd", stat.S_IFLNK | 0o777)),
    "a FIFO": lambda: archive(("x", b"", stat.S_IFIFO | 0o644)),
    "a folder": lambda: archive(("x/", b"", stat.S_IFDIR | 0o755)),
    "a bomb": lambda: archive(("x", bytes(limits.BUNDLE_BYTES + 1), 0o100644)),
    "a bomb that lies": lying_about_its_size,
    "a bomb in parts": lambda: archive(*((f"x{n}", bytes(limits.BUNDLE_BYTES // 4), 0o100644) for n in range(5))),
    "too many files": lambda: archive(*((f"x{n}", b"", 0o100644) for n in range(limits.BUNDLE_FILES + 1))),
    "two of a name": lambda: archive(("x", b"1", 0o100644), ("X", b"2", 0o100644)),
    "a zero byte": lambda: archive(("x\0y", b"", 0o100644)),
    "another packing": lambda: archive(("x", b"1", 0o100644), compression=zipfile.ZIP_BZIP2),
    "a cut": lambda: archive(("x", b"1" * 5000, 0o100644))[:-30],
    "a changed byte": lambda: archive(("x", b"content", 0o100644), compression=zipfile.ZIP_STORED).replace(
        b"content", b"c0ntent"
    ),
    "no zip": lambda: b"no zip at all",
    "nothing": lambda: b"",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", EVIL)
def test_h4_an_evil_archive_is_not_read(what: str, tmp_path: Path) -> None:
    file = tmp_path / "evil.zip"
    file.write_bytes(EVIL[what]())
    with pytest.raises(BundleError):
        read(file)
    assert os.listdir(tmp_path) == ["evil.zip"]


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "long.zip"
    with file.open("wb") as made:
        made.truncate(limits.BUNDLE_BYTES + 1)
    with pytest.raises(BundleError, match="longer than any bundle"):
        read(file)


def test_what_was_packed_is_read_again_and_written_with_its_modes(tmp_path: Path) -> None:
    files = {"socksfusion-agent": b"\x7fELF" * 1000, "acme.agent": b"key", "README.txt": b"read me"}
    (tmp_path / "out.zip").write_bytes(pack(files))
    assert pack(dict(reversed(files.items()))) == pack(files)
    found = read(tmp_path / "out.zip")
    assert found == files
    write(found, tmp_path / "new")
    for name, content in files.items():
        assert (tmp_path / "new" / name).read_bytes() == content
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == mode_of(name)
    assert [mode_of(name) for name in files] == [0o755, 0o600, 0o644]


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="exists already"):
        write({"x": b""}, tmp_path / "there")

    def full(_path: object, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle.Path, "chmod", full)
    with pytest.raises(BundleError, match="No space left"):
        write({"x": b"", "y": b""}, tmp_path / "new")
    assert os.listdir(tmp_path) == ["there"]
