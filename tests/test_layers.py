"""Imports point down only: read from the sources, so that an import within a function or for types only counts too."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "socksfusion"
PLUGINS = "twisted.plugins"

# each may import those above it and itself, none beside it in the same line; "" stands for the package's own modules
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({""}),
    frozenset({"wire"}),
    frozenset({"identity"}),
    frozenset({"registry", "tunnel"}),
    frozenset({"manhole"}),
    frozenset({"agent", "client", "proxy"}),
    frozenset({"cli"}),
    frozenset({PLUGINS}),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
WIRE_MAY_IMPORT = {"h11", "msgspec", "socksfusion.limits", "socksfusion.wire", *sys.stdlib_module_names}


def sources() -> Iterator[Path]:
    yield from sorted((ROOT / PACKAGE).rglob("*.py"))
    yield from sorted((ROOT / "twisted" / "plugins").glob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in ``source``; ``from package import name`` gives ``package.name``."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def part_of(module: str) -> str | None:
    """The part of the package that ``module`` belongs to; None for a module that is not ours."""
    if module.startswith(PLUGINS):
        return PLUGINS
    first, _, rest = module.partition(".")
    if first != PACKAGE:
        return None
    part = rest.partition(".")[0]
    return part if part in RANK else ""


def bad_arrows(path: Path, source: str) -> list[str]:
    """Imports of ``source`` that do not point down, in words."""
    own = part_of(module_name(path))
    assert own is not None
    where = path.relative_to(ROOT)
    bad = []
    for line, module in imports(path, source):
        part = part_of(module)
        if part is not None and part != own and RANK[part] >= RANK[own]:
            direction = "up" if RANK[part] > RANK[own] else "sideways"
            bad.append(f"{where}:{line} points {direction}, at {module}")
    return bad


def bad_wire_imports(path: Path, source: str) -> list[str]:
    """Imports of a module of wire/ that would tie it to a reactor, to TLS or to logging."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for line, module in imports(path, source)
        if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in WIRE_MAY_IMPORT)
    ]


def test_every_package_has_its_layer() -> None:
    packages = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert packages - set(RANK) == set()


def test_imports_point_down() -> None:
    bad = [arrow for path in sources() for arrow in bad_arrows(path, path.read_text())]
    assert not bad, "\n".join(bad)


def test_wire_imports_neither_twisted_nor_pyopenssl() -> None:
    bad = [
        found for path in (ROOT / PACKAGE / "wire").rglob("*.py") for found in bad_wire_imports(path, path.read_text())
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("where", "source", "found"),
    [
        ("socksfusion/wire/new.py", "from socksfusion.tunnel import relay", "up, at socksfusion.tunnel.relay"),
        (
            "socksfusion/tunnel/new.py",
            "def f():\n    import socksfusion.proxy.clients",
            "up, at socksfusion.proxy.clients",
        ),
        (
            "socksfusion/agent/new.py",
            "from socksfusion.proxy.clients import X",
            "sideways, at socksfusion.proxy.clients.X",
        ),
        ("socksfusion/wire/yamux/new.py", "from ...cli import main", "up, at socksfusion.cli.main"),
        ("socksfusion/limits.py", "from .wire.socks5 import Reply", "up, at socksfusion.wire.socks5.Reply"),
        ("socksfusion/wire/__init__.py", "from ..agent import dial", "up, at socksfusion.agent.dial"),
        ("socksfusion/proxy/new.py", "from socksfusion import limits\nimport twisted.internet.defer", None),
        ("twisted/plugins/new.py", "from socksfusion.cli import main", None),
    ],
)
def test_an_arrow_that_points_up_is_found(where: str, source: str, found: str | None) -> None:
    arrows = bad_arrows(ROOT / where, source)
    assert [arrow.partition("points ")[2] for arrow in arrows] == ([found] if found else [])


@pytest.mark.parametrize(
    "source", ["from twisted.internet import defer", "import OpenSSL.SSL", "import socksfusion.log"]
)
def test_a_foreign_import_in_wire_is_found(source: str) -> None:
    assert len(bad_wire_imports(ROOT / "socksfusion/wire/new.py", source)) == 1
