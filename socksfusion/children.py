"""Other programs that ours start."""

import os
import subprocess
import sys
from collections.abc import Sequence

from socksfusion.errors import OperatorError


def run(command: Sequence[str], *, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run ``command`` with ``given`` on its standard input, to its end; ``OperatorError`` where it is not installed.

    A single executable finds its own libraries by a variable, which the system's programs must not be led by.
    """
    environment = dict(os.environ)
    if getattr(sys, "frozen", False):
        before = environment.pop("LD_LIBRARY_PATH_ORIG", None)
        environment.pop("LD_LIBRARY_PATH", None)
        if before is not None:
            environment["LD_LIBRARY_PATH"] = before
    try:
        return subprocess.run(command, input=given, capture_output=True, check=False, env=environment)
    except OSError as error:
        raise OperatorError(f"can't run {command[0]}: {error.strerror}; install it")
