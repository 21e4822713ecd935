"""What lies in the bundle: the Agent, and nothing of the Proxy's."""

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

from tests.bundle.conftest import ROOT, Built, build

FORBIDDEN = (
    "socksfusion.proxy",
    "socksfusion.registry",
    "socksfusion.manhole",
    "sqlalchemy",
    "alembic",
    "click",
    "twisted.conch",
)


def load(name: str) -> ModuleType:
    """A module of bundle/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"bundle_{name}", ROOT / "bundle" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def forbidden(modules: set[str]) -> set[str]:
    return {name for name in modules if any(f"{name}.".lower().startswith(f"{one}.") for one in FORBIDDEN)}


def test_the_executable_is_small_and_holds_nothing_of_the_proxys(built: Built) -> None:
    modules = set(load("packed").read(built.executable).modules)
    assert {"socksfusion.agent.service", "socksfusion.agent.outbound.http", "spnego", "h11"} <= modules
    assert forbidden(modules) == set()
    assert built.executable.stat().st_size < 25e6


def test_the_search_for_what_is_forbidden_finds_it() -> None:
    assert forbidden({"socksfusion.proxy.router", "click", "clicker", "socksfusion.agent"}) == {
        "socksfusion.proxy.router",
        "click",
    }


def test_the_pyz_holds_the_same_modules_of_ours_and_nothing_of_the_proxys(built: Built) -> None:
    names = [name for name in zipfile.ZipFile(built.archive).namelist() if name.startswith("site-packages/")]
    modules = {name.removeprefix("site-packages/").rsplit(".", 1)[0].replace("/", ".") for name in names}
    modules = {name.removesuffix(".__init__") for name in modules}
    ours = {name for name in modules if name.split(".")[0] == "socksfusion"}
    packed = load("packed").read(built.executable).modules
    assert ours == {name for name in packed if name.split(".")[0] == "socksfusion"}
    assert forbidden(modules) == set()


def test_the_list_of_parts_is_valid_and_complete(built: Built) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = built.parts.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = json.loads(text)
    named = {part["name"]: part.get("version") for part in listed["components"]}
    for package in ("Twisted", "cryptography", "pyOpenSSL", "msgspec", "pyspnego", "h11"):
        assert named[distribution(package).metadata["Name"]] == distribution(package).version
    assert any("libcrypto" in name for name in named) or sys.platform != "linux"
    packed = load("packed").read(built.executable)
    provided = {"socksfusion", "entry"} | {
        file.parts[0].split(".")[0]
        for package in load("contents").distributions()
        for file in package.files or ()
        if ".." not in file.parts
    }
    # each packed module is SocksFusion's, a listed package's, Python's own or PyInstaller's loader
    strays = {name.split(".")[0] for name in packed.modules} - provided - set(sys.stdlib_module_names)
    assert {name for name in strays if not name.startswith(("pyi", "_sysconfigdata"))} == set()


def test_the_list_tells_the_digests_of_what_was_built(built: Built) -> None:
    import hashlib

    listed = json.loads(built.parts.read_text())
    (digest,) = listed["metadata"]["component"]["hashes"]
    assert digest["content"] == hashlib.sha256(built.executable.read_bytes()).hexdigest()


def test_the_lowest_glibc_is_told_and_listed(built: Built) -> None:
    told = re.search(r"runs with glibc ([0-9.]+) or newer", built.told)
    assert told is not None
    (listed,) = json.loads(built.parts.read_text())["metadata"]["component"]["properties"]
    assert listed == {"name": "socksfusion:lowest-glibc", "value": told[1]}


def test_the_lowest_glibc_is_the_highest_that_a_file_asks_for() -> None:
    floor = load("glibc").floor
    elf = b"\x7fELF\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_PRIVATE\0"
    assert floor([elf, b"\x7fELF\0GLIBC_2.9\0", b"text GLIBC_9.9"]) == "2.17"
    assert floor([b"MZ"]) is None


def test_a_second_build_is_the_same_to_the_byte(built: Built, tmp_path: Path) -> None:
    build(tmp_path)
    for file in (built.executable, built.archive, built.parts):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("name", ["executable", "archive", "parts"])
def test_each_signature_is_the_release_keys(built: Built, name: str) -> None:
    file: Path = getattr(built, name)
    command = ["ssh-keygen", "-Y", "verify", "-f", str(built.folder / "allowed_signers"), "-I", "socksfusion-release"]
    command += ["-n", "socksfusion-release", "-s", f"{file}.sig"]
    assert subprocess.run(command, stdin=file.open("rb"), capture_output=True, check=False).returncode == 0
    assert subprocess.run(command, input=b"changed", capture_output=True, check=False).returncode != 0
