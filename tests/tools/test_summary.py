"""What is printed at the end: which tools ran, which were left out, and why."""

from types import SimpleNamespace

from tests.tools.catalogue import Tool
from tests.tools.summary import lines


def report(*tools: str, reason: str = "") -> SimpleNamespace:
    properties = [("tool", tool) for tool in tools]
    return SimpleNamespace(user_properties=properties, longrepr=("file", 1, f"Skipped: {reason}"))


def test_what_ran_and_what_did_not() -> None:
    stats = {
        "passed": [report("curl"), report("nmap", "proxychains"), SimpleNamespace(user_properties=[("other", "x")])],
        "failed": [report("Go")],
        "skipped": [report("curl", reason="another reason"), report("Java", reason="needs java (Debian: default-jdk)")],
        "": [report("redsocks")],
    }
    assert lines(stats) == ["ran: curl, Go, nmap, proxychains", "left out: Java: needs java (Debian: default-jdk)"]


def test_nothing_is_printed_where_no_such_test_was_asked_for() -> None:
    assert lines({"passed": [report()], "warnings": [SimpleNamespace()]}) == []


def test_a_missing_tool_is_named_with_its_package() -> None:
    assert Tool("sh", "dash", ["sh"]).why_missing() == ""
    assert (
        Tool("any", "any-tool", ["sh", "no-such-program"]).why_missing() == "needs no-such-program (Debian: any-tool)"
    )
    assert Tool("any", "any[x]", module="no_such_module").why_missing() == "needs no_such_module (pip: any[x])"
