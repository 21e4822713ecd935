"""The bundle at work: where there is no Python, and from the .pyz."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.bundle.conftest import Built
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Installation, Program, installation
from tests.tools.catalogue import TOOLS

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ninside"
ISOLATED = "mount -t proc proc {root}/proc && mount --bind /dev {root}/dev && exec chroot {root} /socksfusion-agent"


def why_no_chroot() -> str:
    """Why the executable can't be run in a folder of its own here; empty where it can."""
    tried = subprocess.run(["unshare", "--mount", "chroot", "/", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"needs root, to change the root folder: {tried.stderr.strip()}"


def bare_root(folder: Path, executable: Path) -> Path:
    """A root folder with the executable, and what of the C library its start asks for."""
    root = folder / "root"
    for name in ("proc", "dev", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(executable, root / "socksfusion-agent")
    needed = subprocess.run(["ldd", str(executable)], check=True, capture_output=True, text=True).stdout
    libraries = re.findall(r"(?:=> )?(/\S+) \(0x", needed)
    # Python itself asks for this one of glibc's too
    libraries += [str(Path(library).with_name("libm.so.6")) for library in libraries if "libc.so" in library]
    for library in libraries:
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    return root


def fetch(clients_port: int, url: str) -> bytes:
    command = ["curl", "-sS", "--socks5-hostname", f"127.0.0.1:{clients_port}", url]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout


def serve(installed: Installation, command: Sequence[str], copy: Path, environment: dict[str, str]) -> None:
    """Run the Agent by ``command``, and fetch a page through it."""
    begun = time.monotonic()
    agent = Program(
        [*command, "--copy", str(copy), "--allow", "127.0.0.0/8"], environment=environment, cwd=installed.folder
    )
    installed.programs.append(agent)
    try:
        agent.wait_out("Connection established")
        print(f"connected {time.monotonic() - begun:.2f} s after its start")
        agent.wait_log("serving as agent")
        with Target(lambda connection: (connection.recv(4096), connection.sendall(PAGE))[1]) as target:
            assert fetch(installed.clients_port, f"http://127.0.0.1:{target.port}/") == b"inside"
    finally:
        # the executable is two processes: SIGTERM reaches both, SIGKILL the first
        assert agent.stop() == -15


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Installation]:
    if reason := TOOLS["curl"].why_missing():
        pytest.skip(reason)
    with installation(tmp_path) as made:
        made.start_proxy()
        yield made


def copy_of(installed: Installation) -> Path:
    copy = installed.folder / "demo.agent"
    # there is no resolver where the executable runs
    installed.admin("agent", "add", "demo", "--proxy", f"127.0.0.1:{installed.agents_port}", "--out", str(copy))
    return copy


def test_it_serves_where_there_is_no_python(built: Built, ready: Installation, tmp_path: Path) -> None:
    if reason := why_no_chroot():
        pytest.skip(reason)
    root = bare_root(tmp_path, built.executable)
    shutil.copy(copy_of(ready), root / "demo.agent")
    assert not [file for file in root.rglob("*") if "python" in file.name.lower()]
    script = ISOLATED.format(root=root) + ' "$@"'
    serve(ready, ["unshare", "--mount", "sh", "-c", script, "sh"], Path("/demo.agent"), {})


def test_the_pyz_serves_where_python_is(built: Built, ready: Installation, tmp_path: Path) -> None:
    python = getattr(sys, "_base_executable", sys.executable)
    serve(ready, [python, "-I", str(built.archive)], copy_of(ready), {"SHIV_ROOT": str(tmp_path / "shiv")})


def test_it_has_no_manhole_and_says_so(built: Built, ready: Installation, tmp_path: Path) -> None:
    arguments = ["--copy", copy_of(ready), "--manhole", "tcp:0", "--authorized-keys", "k", "--manhole-host-key", "h"]
    done = subprocess.run([built.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "socksfusion-agent: --manhole: this build of the Agent has none; install the package for one\n"
    )
