"""Every reply of the Agent provoked for real, in a network namespace that the test makes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
ip link add near type veth peer name far
ip addr add 2001:db8::1/64 dev near
echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
"""


def _why_not() -> str:
    """Why no namespace can be made here; empty where it can."""
    missing = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if os.geteuid() != 0:
        return "needs root, to make a network namespace"
    made = subprocess.run(["unshare", "--net", "sh", "-ec", PROBE], capture_output=True, text=True)
    return "" if made.returncode == 0 else f"no network can be made here: {made.stderr.strip()}"


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    why_not = _why_not()
    if why_not:
        pytest.skip(why_not)
    command = ["unshare", "--net", sys.executable, "-m", "tests.agent.real_network"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "Unhandled" not in ran.stderr
    result: dict[str, dict[str, Any]] = json.loads(ran.stdout)
    return result


@pytest.mark.parametrize(
    ("case", "reply", "printed"),
    [
        ("accepts", 0, False),
        ("accepts over IPv6", 0, False),
        ("accepts and resets", 0, False),
        ("refuses", 5, True),
        ("refuses over IPv6", 5, True),
        ("silent, our limit", 6, True),
        ("silent, the kernel's limit", 6, True),
        ("no such neighbour", 4, True),
        ("unreachable route", 4, True),
        ("unknown name", 4, True),
        ("no route", 3, True),
        ("prohibited route", 2, True),
        ("loopback", 2, False),
        ("loopback by name", 2, False),
        ("own address", 2, False),
        ("own IPv6 address", 2, False),
        ("own network's broadcast", 2, False),
        ("own since a moment ago", 2, False),
        ("own, foreign binds allowed", 2, False),
        ("foreign, foreign binds allowed", 0, False),
        ("the last local port", 0, False),
        ("no local port", 1, True),
    ],
)
def test_the_reply_tells_the_truth(answers: dict[str, dict[str, Any]], case: str, reply: int, printed: bool) -> None:
    answer = answers[case]
    assert (answer["reply"], answer["printed"]) == (reply, printed), answer


def test_an_address_that_nobody_had_was_dialled(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["not yet own"]["reply"] in (4, 6)


def test_limits_are_kept(answers: dict[str, dict[str, Any]]) -> None:
    assert 0.5 <= answers["silent, our limit"]["seconds"] < 2
    assert "ETIMEDOUT" in answers["silent, the kernel's limit"]["detail"]
    for case in ("refuses", "no route", "prohibited route", "unreachable route", "own address"):
        assert answers[case]["seconds"] < 1, case
