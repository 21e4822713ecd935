"""The ``.pyz``: the same modules as the executable's, for where Python is."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

from contents import ROOT, is_left_out


def build(out: Path, work: Path, packages: Iterable[Distribution], own_modules: frozenset[str]) -> None:
    """Write ``out``. ``own_modules`` are those of SocksFusion that the Agent needs; ``work`` is a folder for files."""
    site = work / "site"
    shutil.rmtree(site, ignore_errors=True)
    for module in own_modules:
        _copy_module(module, site)
    for package in packages:
        _copy_package(package, site)
    command = [sys.executable, "-m", "shiv", "--reproducible", "--site-packages", str(site), "--output-file", str(out)]
    command += ["--python", "/usr/bin/env python3", "--entry-point", "socksfusion.cli.agent_program:main"]
    subprocess.run(command, check=True)


def _copy_module(name: str, site: Path) -> None:
    place = Path(*name.split("."))
    if (ROOT / place).is_dir():
        place = place / "__init__"
    target = site / place.with_suffix(".py")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / place.with_suffix(".py"), target)


def _copy_package(package: Distribution, site: Path) -> None:
    for file in package.files or ():
        module = ".".join(file.with_suffix("").parts)
        # programs of packages (../../bin) and compiled files don't belong in it
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix == ".pyc":
            continue
        if is_left_out(module) or {"test", "tests", "testing"} & set(file.parts[1:-1]):
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)
