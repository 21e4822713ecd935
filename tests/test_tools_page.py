"""docs/tools.md: a row a tool, with a test that drives it or the reason why there is none; and what the tests need."""

import itertools
import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.tools.catalogue import TOOLS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tools.md").read_text()
HEADS = ["tool", "what"]
TESTS = {path.name: path.read_text() for path in (ROOT / "tests" / "tools").glob("test_*.py")}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def rows(head: str) -> list[list[str]]:
    """The rows of the table whose first column is called ``head``."""
    lines = PAGE.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[first:])
    return [cells(line) for line in table][2:]


@pytest.mark.parametrize("head", HEADS)
def test_every_row_has_a_test_or_a_reason(head: str) -> None:
    found = rows(head)
    assert len(found) > 5
    for row in found:
        assert re.fullmatch(r"`tests/[\w/]+\.py`|not tested: .+", row[-1]), row[0]


def test_every_row_of_a_tool_is_complete() -> None:
    assert [row[0] for row in rows("tool") if len(row) != 8 or "" in row] == []


def test_every_tool_of_the_tests_has_a_row_and_a_test() -> None:
    calls = [call for text in TESTS.values() for call in re.findall(r"mark\.uses\(([^)]*)\)", text)]
    used = {name for call in calls for name in re.findall(r'"([^"]+)"', call)}
    assert used == TOOLS.keys()
    page = "\n".join(row[0] + " " + row[1] for row in rows("tool"))
    behind_another = {"sshd"}
    assert [name for name in TOOLS.keys() - behind_another if not re.search(rf"\b{name}\b", page)] == []


def test_the_tests_tools_are_installed_by_one_command() -> None:
    script = (ROOT / "test").read_text()
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    extra = config["options.extras_require"]["test"]
    for tool in TOOLS.values():
        name = tool.package.partition("[")[0]
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", extra if tool.module else script), tool.name
