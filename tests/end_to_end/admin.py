"""What the admin commands tell."""

import json
import re
from typing import Any

from tests.end_to_end.programs import Installation, wait_until


def show(installed: Installation, agent: str) -> dict[str, Any]:
    """``socksfusion agent show --json``."""
    shown: dict[str, Any] = json.loads(installed.admin("agent", "show", agent, "--json"))
    return shown


def wait_shown(installed: Installation, agent: str, **fields: object) -> dict[str, Any]:
    """Wait until it shows these fields: the Proxy writes what it sees once a second."""
    shown: dict[str, Any] = {}

    def met() -> bool:
        shown.update(show(installed, agent))
        return all(shown[name] == value for name, value in fields.items())

    wait_until(met, lambda: (fields, shown))
    return shown


def token_in(told: str) -> str:
    """The token that a command has made."""
    found = re.search(r"token[^:]*: (\S+)", told)
    assert found is not None, told
    return found[1]
