"""The whole way of a bundle: built, kept at the Proxy, packed, unpacked at the customer's, and at work."""

import os
import subprocess
from pathlib import Path

from tests.bundle.conftest import Built
from tests.bundle.test_run import ready, serve
from tests.end_to_end.programs import Installation

__all__ = ["ready"]


def test_from_the_build_to_a_running_agent(built: Built, ready: Installation, tmp_path: Path) -> None:
    ready.admin("release", "import", str(built.executable))
    packed = tmp_path / "acme.zip"
    ready.admin("agent", "add", "acme", "--proxy", f"localhost:{ready.agents_port}", "--bundle", str(packed))
    folder = tmp_path / "acme"
    # whoever has an executable already may check the next one by it
    command = [built.executable, "unpack", packed, "--signers", built.folder / "allowed_signers", "--into", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert os.access(folder / "socksfusion-agent", os.X_OK)
    serve(ready, [str(folder / "socksfusion-agent")], folder / "acme.agent", {})


def test_the_command_that_the_readme_tells_verifies_it(built: Built, ready: Installation, tmp_path: Path) -> None:
    ready.admin("release", "import", str(built.executable))
    packed = tmp_path / "acme.zip"
    ready.admin("agent", "add", "acme", "--proxy", "localhost", "--bundle", str(packed))
    subprocess.run(["python3", "-m", "zipfile", "-e", packed, tmp_path / "acme"], check=True)
    lines = (tmp_path / "acme" / "README.txt").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if "ssh-keygen -Y verify" in line)
    typed = " ".join(line.strip().removesuffix("\\") for line in lines[begin : begin + 2])
    typed = typed.replace("/PATH/TO/allowed_signers", str(built.folder / "allowed_signers"))
    shown = subprocess.run(["sh", "-c", typed], cwd=tmp_path / "acme", capture_output=True, text=True, check=False)
    assert shown.stdout.startswith('Good "socksfusion-release" signature'), typed + shown.stderr


def test_the_executable_installs_itself(built: Built, ready: Installation, tmp_path: Path) -> None:
    copy, root = ready.add_agent("demo"), tmp_path / "root"
    command = [built.executable, "install-service", "--root", root, "--copy", copy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    installed = root / "usr/local/bin/socksfusion-agent"
    assert installed.read_bytes() == built.executable.read_bytes()
    removed = subprocess.run(
        [installed, "uninstall", "--root", root, "--yes"], capture_output=True, text=True, check=False
    )
    assert removed.returncode == 0, removed.stderr
    assert "The Proxy was told." in removed.stdout
    assert not installed.exists()
