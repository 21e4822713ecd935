"""The package as others install it: complete, and with its twistd plugins in sight from any folder."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; sys.exit(run())"


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(text: str, operator: str) -> dict[str, str]:
    """Package to version, of lines such as ``twisted[tls] >= 24.10``."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(rf"([A-Za-z0-9-]+)(?:\[\w+\])? {operator} ([0-9.]+)", line.strip())
        if match:
            found[match[1]] = match[2]
    return found


def test_every_package_is_listed() -> None:
    listed = set(setup_cfg()["options"]["packages"].split())
    there = {
        ".".join(folder.relative_to(ROOT).parts)
        for folder in [ROOT / "socksfusion", *(ROOT / "socksfusion").rglob("*")]
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert listed == there | {"twisted.plugins"}


def test_the_plugin_folder_is_no_package() -> None:
    assert sorted(file.name for file in (ROOT / "twisted" / "plugins").glob("*.py")) == [
        "socksfusion_agent.py",
        "socksfusion_client.py",
        "socksfusion_proxy.py",
        "socksfusion_reactor.py",
    ]
    assert not (ROOT / "twisted" / "__init__.py").exists()


def test_lowest_pins_what_setup_cfg_allows() -> None:
    config = setup_cfg()
    extras = config["options.extras_require"]
    asked = requirements(
        "\n".join([config["options"]["install_requires"], *(extras[name] for name in ("proxy", "agent", "manhole"))]),
        ">=",
    )
    pinned = requirements((ROOT / "lowest.txt").read_text(), "==")
    assert asked.keys() == pinned.keys()
    for name, version in asked.items():
        assert f"{pinned[name]}.".startswith(f"{version}."), name


def test_every_dependency_says_why() -> None:
    config = setup_cfg()
    page = (ROOT / "docs" / "dependencies.md").read_text()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    for name in {name for text in texts for name in requirements(text, ">=")}:
        assert re.search(rf"^\|[^|]*\b{re.escape(name)}\b", page, re.MULTILINE), name


class Installed:
    """A virtual environment with this project and, from the environment of the tests, its dependencies."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.bin = folder / "bin"
        self.folder = folder
        venv.create(folder, symlinks=True)
        (site,) = folder.glob("lib/python*/site-packages")
        # a plain line: what the project's own editable install put beside them is not followed
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        # the tests' environment may have the same version
        pip(["--python", str(self.bin / "python"), "install", "--no-deps", "--ignore-installed", *arguments])

    def run(self, *arguments: str) -> str:
        """Standard output of a program of the environment, started far from the project."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.bin / arguments[0], *arguments[1:]],
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout


def pip(arguments: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is needed to build: a build litters the folder that it reads."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("socksfusion", "twisted"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)])
    (made,) = folder.glob("socksfusion-*.whl")
    return made


@pytest.mark.install
def test_the_wheel_has_every_file(wheel: Path) -> None:
    expected = {str(file.relative_to(ROOT)) for file in (ROOT / "socksfusion").rglob("*.py")}
    expected |= {str(file.relative_to(ROOT)) for file in (ROOT / "twisted").rglob("*.py")}
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == expected | {"socksfusion/py.typed"}


@pytest.mark.install
@pytest.mark.parametrize("way", ["wheel", "folder", "editable compat", "editable strict"])
def test_both_plugins_and_every_command_are_there(way: str, source: Path, wheel: Path, tmp_path: Path) -> None:
    arguments = {
        "wheel": [str(wheel)],
        "folder": ["--no-build-isolation", str(source)],
        "editable compat": ["--no-build-isolation", "--config-settings=editable_mode=compat", "-e", str(source)],
        "editable strict": ["--no-build-isolation", "--config-settings=editable_mode=strict", "-e", str(source)],
    }[way]
    installed = Installed(tmp_path / "installed", arguments)
    shown = installed.run("python", "-c", TWISTD, "--help")
    assert "socksfusion-proxy" in shown
    assert "socksfusion-agent" in shown
    assert "--copy" in installed.run("python", "-c", TWISTD, "socksfusion-agent", "--help")
    for command in ("socksfusion", "socksfusion-proxy", "socksfusion-agent"):
        assert re.search(r"\b0\.\d+\.\d+", installed.run(command, "--version"))
    assert "Usage: socksfusion-proxy [options]" in installed.run("socksfusion-proxy", "--help")
