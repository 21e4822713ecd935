"""docs/promises.md: every promise names a test, and each named test exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "promises.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_promise_names_tests_that_exist() -> None:
    assert len(ROWS) == 19
    for row in ROWS:
        named = TEST.findall(row.rsplit("|", 2)[1])
        assert named, row
        for file, name in named:
            assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_the_readme_promises_true_replies() -> None:
    told = " ".join((ROOT / "README.md").read_text().split())
    assert "**A reply tells the truth.** Success is answered after the Target has accepted." in told
