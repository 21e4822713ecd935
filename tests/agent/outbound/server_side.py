"""The proxy's side of NTLM and Negotiate by pyspnego's acceptor: it checks the real password."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spnego

PASSWORD = "p@ss% word"
USERS = ("CORP\\alice", "alice@corp.example")
"""Both spellings of one user."""


@contextmanager
def accounts(folder: Path) -> Iterator[None]:
    """Within the block NTLM's acceptor knows the user."""
    file = folder / "accounts"
    file.write_text(f"CORP:alice:{PASSWORD}\n:alice@corp.example:{PASSWORD}\n")
    before = os.environ.get("NTLM_USER_FILE")
    os.environ["NTLM_USER_FILE"] = str(file)
    try:
        yield
    finally:
        os.environ.pop("NTLM_USER_FILE", None)
        if before is not None:
            os.environ["NTLM_USER_FILE"] = before


class Acceptor:
    """One connection's login; ``scheme`` is NTLM or Negotiate."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.context: Any = spnego.server(protocol=scheme.lower())

    def answer(self, authorization: str | None) -> str | None:
        """What Proxy-Authenticate says next; None once the login stands."""
        if authorization is None or not authorization.startswith(f"{self.scheme} "):
            return self.scheme
        try:
            token = self.context.step(base64.b64decode(authorization.split(" ", 1)[1]))
        except spnego.exceptions.SpnegoError:
            self.context = None
            return self.scheme
        if self.context.complete:
            return None
        return f"{self.scheme} {base64.b64encode(token).decode()}"
