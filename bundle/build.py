"""Build the Agent's bundle: `tox -e bundle`, or this script where the extras agent and bundle are installed.

Writes into --out: the executable, the .pyz, the list of parts and, with --key, a signature of each.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import glibc
import packed
import parts
import pyz
from contents import ROOT, distributions

NAMESPACE = "socksfusion-release"


def main() -> None:
    """Build everything, and tell what came of it."""
    arguments = _arguments()
    out, work = arguments.out.absolute(), arguments.work.absolute()
    out.mkdir(parents=True, exist_ok=True)
    at = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    executable = _executable(out, work, at)
    content = packed.read(executable)
    packages = distributions()
    own = frozenset(name for name in content.modules if name.partition(".")[0] == "socksfusion")
    archive = out / "socksfusion-agent.pyz"
    pyz.build(archive, work, packages, own)
    lowest = glibc.floor([executable.read_bytes(), *content.libraries.values()])
    listed = out / "socksfusion-agent.cdx.json"
    listed.write_text(
        parts.cyclonedx(executable.read_bytes(), _version(), packages, content.libraries, lowest, at), "utf-8"
    )
    for file in (executable, archive, listed):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
        if arguments.key is not None:
            _sign(file, arguments.key)
    if arguments.key is not None:
        _write_signers(out / "allowed_signers", arguments.key)
    print(f"the executable runs with glibc {lowest} or newer" if lowest else "the executable asks for no glibc")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "agent", help="folder for what is built")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "agent", help="folder for PyInstaller's own files"
    )
    parser.add_argument("--key", type=Path, help="the release's private SSH key; FILE.pub stands beside it")
    return parser.parse_args()


def _executable(out: Path, work: Path, at: int) -> Path:
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "ERROR"]
    command += ["--distpath", str(out), "--workpath", str(work), str(ROOT / "bundle" / "agent.spec")]
    # both make two builds of the same sources the same
    environment = {**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(at)}
    subprocess.run(command, check=True, env=environment)
    return out / ("socksfusion-agent.exe" if sys.platform == "win32" else "socksfusion-agent")


def _version() -> str:
    sys.path.insert(0, str(ROOT))
    from socksfusion import __version__

    return __version__


def _sign(file: Path, key: Path) -> None:
    """Write ``FILE.sig`` (sshsig), as ``ssh-keygen -Y verify`` reads it."""
    Path(f"{file}.sig").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(file)], check=True)


def _write_signers(path: Path, key: Path) -> None:
    kind, public, *_ = Path(f"{key}.pub").read_text("utf-8").split()
    path.write_text(f'{NAMESPACE} namespaces="{NAMESPACE}" {kind} {public}\n', "utf-8")


if __name__ == "__main__":
    if shutil.which("ssh-keygen") is None and "--key" in sys.argv:
        sys.exit("ssh-keygen is missing (Debian: openssh-client)")
    main()
