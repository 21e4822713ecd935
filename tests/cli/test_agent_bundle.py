"""Bundles for agents, the releases that they are made of, and what takes them apart again."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from socksfusion.cli.agent_program import run_command
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.bundle import pack
from socksfusion.identity.copy import AgentCopy
from tests.cli.conftest import Command

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (Debian: openssh-client)")
NAMES = ["socksfusion-agent", "socksfusion-agent.cdx.json"]


def sign(file: Path, key: Path) -> None:
    Path(f"{file}.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "socksfusion-release", str(file)]
    subprocess.run(command, check=True, capture_output=True)


def make_release(folder: Path) -> Path:
    """A signed release with a key of its own; its executable."""
    folder.mkdir()
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    content = f"content of {folder.name}".encode()
    hashes = [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    listed = json.dumps({"metadata": {"component": {"hashes": hashes}}}).encode()
    for name, data in zip(NAMES, (content, listed), strict=True):
        (folder / name).write_bytes(data)
        sign(folder / name, key)
    signers = f'socksfusion-release namespaces="socksfusion-release" {(folder / "key.pub").read_text()}'
    (folder / "allowed_signers").write_text(signers)
    return folder / NAMES[0]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make_release(tmp_path / "release")


def test_a_bundle_holds_all_that_a_machine_needs(run: Command, release: Path, tmp_path: Path) -> None:
    run("init", "--name", "proxy.example")
    imported = run("release", "import", str(release))
    assert imported.exit_code == 0, imported.output
    assert "ssh-ed25519" in imported.stderr, "a first key is shown, to be compared"
    made = run("agent", "add", "acme", "--scope", "10.20.0.0/16", "--expires", "14d", "--bundle", "acme.zip")
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(os.stat("acme.zip").st_mode) == 0o600
    assert not os.path.exists("acme.agent")
    with zipfile.ZipFile("acme.zip") as archive:
        names = archive.namelist()
        readme = archive.read("README.txt").decode()
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        archive.extract("acme.agent", tmp_path)
    others = "acme.agent allowed_signers socksfusion-agent.service README.txt WINDOWS.txt"
    assert names == sorted([*NAMES, *(f"{name}.sig" for name in NAMES), *others.split()])
    assert (modes["acme.agent"], modes["socksfusion-agent"], modes["README.txt"]) == (0o600, 0o755, 0o644)
    assert "10.20.0.0/16" in readme
    assert re.search(r"\nIt reaches nothing after \d{4}-\d\d-\d\d \d\d:\d\d UTC\.\n", readme)
    assert "proxy.example" in readme
    assert len(readme.splitlines()) < 60, "it is one page"
    (tmp_path / "acme.agent").chmod(0o600)
    assert AgentCopy.load(tmp_path / "acme.agent").scope == ("10.20.0.0/16",)
    assert [agent["name"] for agent in json.loads(run("agent", "list", "--json").stdout)] == ["acme"]


@pytest.mark.parametrize("name", NAMES)
def test_a_release_that_was_changed_is_neither_kept_nor_packed(run: Command, release: Path, name: str) -> None:
    run("init", "--name", "proxy.example")
    run("release", "import", str(release))
    (release.parent / name).write_bytes(b"changed")
    refused = run("release", "import", str(release))
    assert refused.exit_code == 1
    assert f"{name} is not what the release key has signed" in refused.stderr
    added = run("agent", "add", "acme", "--bundle", "acme.zip", "--executable", str(release))
    assert added.exit_code == 1
    assert not os.path.exists("acme.zip")
    assert json.loads(run("agent", "list", "--json").stdout) == []


def test_another_key_is_taken_only_when_told(run: Command, release: Path, tmp_path: Path) -> None:
    run("init", "--name", "proxy.example")
    run("release", "import", str(release))
    other = make_release(tmp_path / "other")
    assert run("release", "import", str(other)).exit_code == 1
    assert run("release", "import", str(other), "--signers", str(other.parent / "allowed_signers")).exit_code == 0
    assert run("release", "import", str(release)).exit_code == 1


def test_without_a_known_key_a_bundle_is_made_and_it_is_said(run: Command, release: Path) -> None:
    run("init", "--name", "proxy.example")
    made = run("agent", "add", "acme", "--bundle", "acme.zip", "--executable", str(release))
    assert made.exit_code == 0
    assert "was not checked" in made.stderr
    assert "there is no release" in run("agent", "add", "other", "--bundle", "other.zip").stderr
    assert run("agent", "add", "other", "--bundle", "o.zip", "--out", "o.agent").exit_code == 2
    taken = run("agent", "add", "other", "--bundle", "acme.zip", "--executable", str(release))
    assert "exists already" in taken.stderr


@pytest.fixture
def files(release: Path) -> dict[str, bytes]:
    """What a bundle of the release holds."""
    names = [*NAMES, *(f"{name}.sig" for name in NAMES)]
    return {name: (release.parent / name).read_bytes() for name in names} | {"acme.agent": b"the copy"}


def unpack(tmp_path: Path, data: bytes) -> ExitCode:
    (tmp_path / "in.zip").write_bytes(data)
    signers = str(tmp_path / "release" / "allowed_signers")
    return run_command("unpack", [str(tmp_path / "in.zip"), "--signers", signers, "--into", str(tmp_path / "new")])


def test_a_good_bundle_is_unpacked(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert unpack(tmp_path, pack(files)) is ExitCode.NORMAL
    assert {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()} == files


@pytest.mark.parametrize("evil", ["forged executable", "forged list", "no signature", "another's", "no plain name"])
def test_h4_what_is_not_the_releases_is_not_unpacked(tmp_path: Path, files: dict[str, bytes], evil: str) -> None:
    if evil == "forged executable":
        files["socksfusion-agent"] += b"\0"
    elif evil == "forged list":
        files["socksfusion-agent.cdx.json"] = b"{}"
    elif evil == "no signature":
        del files["socksfusion-agent.sig"]
    elif evil == "another's":
        other = make_release(tmp_path / "other").parent
        files |= {f"{name}.sig": (other / f"{name}.sig").read_bytes() for name in NAMES}
        files["allowed_signers"] = (other / "allowed_signers").read_bytes()
    else:
        files["../x"] = b""
    before = sorted(path for path in tmp_path.rglob("*"))
    assert unpack(tmp_path, pack(files)) is ExitCode.UNEXPECTED
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "in.zip") == before


def test_a_new_copy_in_a_bundle(run: Command, release: Path, tmp_path: Path) -> None:
    run("init", "--name", "proxy.example")
    run("release", "import", str(release))
    run("agent", "add", "acme")
    made = run("agent", "renew", "acme", "--scope", "10.20.0.0/16", "--bundle", "new.zip")
    assert made.exit_code == 0, made.output
    assert "The bundle of agent acme for the Proxy at proxy.example:443 is new.zip." in made.stdout
    assert "The older copy works until this one first connects." in made.stdout
    with zipfile.ZipFile("new.zip") as archive:
        archive.extract("acme.agent", tmp_path)
        assert archive.read("socksfusion-agent") == release.read_bytes()
    (tmp_path / "acme.agent").chmod(0o600)
    assert AgentCopy.load(tmp_path / "acme.agent").scope == ("10.20.0.0/16",)
    keys = json.loads(run("agent", "show", "acme", "--json").stdout)["keys"]
    assert len(keys) == 2


def test_a_renewal_that_fails_leaves_no_key(run: Command, release: Path) -> None:
    run("init", "--name", "proxy.example")
    run("agent", "add", "acme")
    assert "there is no release" in run("agent", "renew", "acme", "--bundle", "new.zip").stderr
    assert run("agent", "renew", "acme", "--bundle", "new.zip", "--out", "new.agent").exit_code == 2
    assert len(json.loads(run("agent", "show", "acme", "--json").stdout)["keys"]) == 1


def test_h4_an_executable_that_nobody_signed_does_not_come_beside_one_that_is(
    tmp_path: Path, files: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    signed = {
        "socksfusion-agent.exe": files["socksfusion-agent"],
        "socksfusion-agent.exe.sig": files[f"{NAMES[0]}.sig"],
    }
    assert unpack(tmp_path, pack(files | signed | {"socksfusion-agent": b"evil"})) is ExitCode.UNEXPECTED
    assert "two executables" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("parts", ["an older release's", "no list", "of nothing"])
def test_h4_a_signed_list_of_other_parts_is_not_taken(
    tmp_path: Path, files: dict[str, bytes], capfd: pytest.CaptureFixture[str], parts: str
) -> None:
    file = tmp_path / "release" / NAMES[1]
    if parts == "no list":
        file.write_bytes(b"[" * 100_000)
    elif parts == "of nothing":
        file.write_bytes(b'{"metadata": {"component": {"hashes": []}}}')
    else:
        file.write_bytes(files[NAMES[1]].replace(b'"content": "', b'"content": "0'))
    sign(file, tmp_path / "release" / "key")
    files |= {name: (file.parent / name).read_bytes() for name in (NAMES[1], f"{NAMES[1]}.sig")}
    assert unpack(tmp_path, pack(files)) is ExitCode.UNEXPECTED
    assert "another executable's list" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()
