"""The oldest glibc that a program's files run with: the highest version among the symbols that they ask for."""

import re
from collections.abc import Iterable
from typing import Final

# names of versions stand in .dynstr, each ended by a zero byte (System V ABI, symbol versioning)
_ASKED: Final = re.compile(rb"\0GLIBC_([0-9]+(?:\.[0-9]+)+)(?=\0)")


def floor(files: Iterable[bytes]) -> str | None:
    """The version, such as ``2.28``, or None where no file is an ELF file that asks for glibc."""
    versions = {
        tuple(map(int, found.decode().split(".")))
        for content in files
        if content.startswith(b"\x7fELF")
        for found in _ASKED.findall(content)
    }
    return ".".join(map(str, max(versions))) if versions else None
