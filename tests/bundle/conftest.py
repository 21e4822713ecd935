import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EPOCH = "1764000000"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "bundle" in item.path.parent.parts and "built" in getattr(item, "fixturenames", ()):
            # the first one waits for the build
            item.add_marker(pytest.mark.install)
            item.add_marker(pytest.mark.timeout(400))


def build(folder: Path, *arguments: str) -> str:
    """Build the bundle into ``folder``; what the build told."""
    command = [sys.executable, str(ROOT / "bundle" / "build.py"), "--out", str(folder / "out")]
    done = subprocess.run(
        [*command, "--work", str(folder / "work"), *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "SOURCE_DATE_EPOCH": EPOCH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Built:
    folder: Path
    told: str
    key: Path

    @property
    def executable(self) -> Path:
        return self.folder / "socksfusion-agent"

    @property
    def parts(self) -> Path:
        return self.folder / "socksfusion-agent.cdx.json"

    @property
    def archive(self) -> Path:
        return self.folder / "socksfusion-agent.pyz"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The bundle, built once and signed with a key of the test's own."""
    missing = [name for name in ("PyInstaller", "shiv", "cyclonedx") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; in a clone: pip install '.[agent,bundle]'")
    missing = [tool for tool in ("objdump", "strip", "ssh-keygen") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: binutils, openssh-client)")
    folder = tmp_path_factory.mktemp("bundle")
    key = folder / "release"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    told = build(folder, "--key", str(key))
    return Built(folder / "out", told, key)
