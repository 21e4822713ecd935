"""Scans by command, as an operator starts and reads them."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.end_to_end.programs import Installation, free_port, wait_until

NOT_TESTED = 3
"""The exit code of ``scan show`` and ``scan stop`` where anything was cut or not tested."""


def start_scan(installed: Installation, agent: str, *options: str) -> dict[str, Any]:
    """``socksfusion scan start --json``, on a port of the test's own; back once the Proxy has opened it, if one runs.

    Several tests run side by side, and the command would give each the same first free port.
    """
    port = free_port()
    said = installed.admin("scan", "start", agent, "--port", str(port), "--json", *options)
    started: dict[str, Any] = json.loads(said)
    assert started["port"] == port
    if installed.proxy is not None and installed.proxy.process.poll() is None:
        installed.proxy.wait_log(f"scan {started['id']} of agent {agent} has port {port}")
    return started


def run(installed: Installation, *arguments: str) -> tuple[int, str, str]:
    """``socksfusion scan ARGUMENTS``, which may end with 3: exit code, standard output and standard error."""
    try:
        return 0, installed.admin("scan", *arguments), ""
    except subprocess.CalledProcessError as error:
        if error.returncode != NOT_TESTED:
            raise
        return error.returncode, error.stdout, error.stderr


def show_scan(installed: Installation, scan: str) -> dict[str, Any]:
    """``scan show --gaps --json``; its exit code must say what ``complete`` says."""
    code, said, _ = run(installed, "show", scan, "--gaps", "--json")
    shown: dict[str, Any] = json.loads(said)
    assert (code == 0) is shown["complete"]
    return shown


def wait_scan(installed: Installation, scan: str, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until what it shows is as ``met`` says: the Proxy writes what it notes once a second."""
    shown: dict[str, Any] = {}

    def look() -> bool:
        shown.clear()
        shown.update(show_scan(installed, scan))
        return met(shown)

    wait_until(look, lambda: shown)
    return shown
