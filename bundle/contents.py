"""What the Agent's bundle is made of, and what must not be in it."""

import configparser
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parent.parent

FOUND_BY_NAME: Final = (
    "socksfusion.agent.tap",
    "socksfusion.agent.service",
    "twisted.internet.epollreactor",
    "twisted.internet.pollreactor",
    "twisted.internet.selectreactor",
)
"""Modules that are imported by a name at run time, so that no search of the sources finds them."""

NEVER: Final = (
    # the Proxy's side, and what only it needs
    "socksfusion.proxy",
    "socksfusion.registry",
    "socksfusion.manhole",
    "socksfusion.client",
    "sqlalchemy",
    "alembic",
    "bcrypt",
    "click",
    "twisted.conch",
    "twisted.web",
    # parts of Twisted and of the standard library that the Agent has no use for
    "twisted.enterprise",
    "twisted.mail",
    "twisted.names",
    "twisted.pair",
    "twisted.runner",
    "twisted.spread",
    "twisted.trial",
    "twisted.words",
    "curses",
    "doctest",
    "ensurepip",
    "lib2to3",
    "pip",
    "pkg_resources",
    "pydoc",
    "readline",
    "setuptools",
    "sqlite3",
    "test",
    "tkinter",
    "wheel",
)
"""Modules that are left out with all that is below them."""


def is_left_out(module: str) -> bool:
    """Whether ``module`` is one of ``NEVER`` or below one."""
    return any(module == name or module.startswith(f"{name}.") for name in NEVER)


def distributions() -> list[importlib.metadata.Distribution]:
    """The installed packages that the Agent needs, those that they need included, by name.

    Where one is not installed, ``importlib.metadata.PackageNotFoundError``.
    """
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = config["options"]["install_requires"] + config["options.extras_require"]["agent"]
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [Requirement(line) for line in asked.splitlines() if line.strip()]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = requirement.name.lower(), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        distribution = importlib.metadata.distribution(requirement.name)
        found[distribution.metadata["Name"].lower()] = distribution
        waiting += _needed(distribution, requirement.extras)
    return [found[name] for name in sorted(found)]


def _needed(distribution: importlib.metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def strangers() -> list[str]:
    """Top-level modules of installed packages that the Agent does not need, which some module may try to import."""
    own = {package.metadata["Name"] for package in distributions()} | {"socksfusion"}
    provided = importlib.metadata.packages_distributions()
    return sorted(module for module, packages in provided.items() if not own & set(packages))
