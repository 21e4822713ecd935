"""What lies in a built executable."""

import re
from dataclasses import dataclass
from pathlib import Path

from PyInstaller.archive.readers import CArchiveReader, ZlibArchiveReader


@dataclass(frozen=True)
class Packed:
    """The content of a single executable."""

    modules: frozenset[str]
    """Python's modules, by their full names; extension modules among them."""
    libraries: dict[str, bytes]
    """Shared libraries and extension modules, by their paths."""


def read(executable: Path) -> Packed:
    """Open ``executable``; PyInstaller's ``ArchiveReadError`` where it is none of its own."""
    archive = CArchiveReader(str(executable))
    modules: set[str] = set()
    libraries: dict[str, bytes] = {}
    for name, (*_, kind) in archive.toc.items():
        if kind == "z":
            embedded = archive.open_embedded_archive(name)
            assert isinstance(embedded, ZlibArchiveReader)
            modules |= set(embedded.toc)
        elif kind == "b":
            libraries[name] = archive.extract(name)
            if re.search(r"\.(cpython-|abi3\.|pyd$)", name) and "lib-dynload" not in name:
                modules.add(name.split(".")[0].replace("/", "."))
    return Packed(frozenset(modules), libraries)
