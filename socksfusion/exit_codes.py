"""The exit codes of the programs and commands.

A program that is stopped by a signal ends by that signal, as ``twistd`` does it: a shell shows 143 for SIGTERM and 130
for SIGINT.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Why a program ended by itself."""

    NORMAL = 0
    """It was asked to end."""
    UNEXPECTED = 1
    """An error of the program's own, or twistd's own options are wrong."""
    USAGE = 2
    """An argument, an option, the configuration file or an environment variable is wrong, or a secret lies open."""
    STATE = 3
    """The state folder (Proxy) or the copy file (Agent) can't be used."""
    NOT_TESTED = 3
    """`scan show` and `scan stop` only: something of the scan was cut or not tested. The number is STATE's, of which it
    is an alias here; with STATE a line on standard error begins with ``socksfusion:``, with this one none does."""
    LISTEN = 4
    """A listener can't be opened."""
    REPLACED = 5
    """A newer copy of this Agent was verified; this one has no use any more."""
    NOT_REGISTERED = 6
    """This Agent is not registered, and ``--exit-if-unregistered`` was given."""
    DENIED = 7
    """``socksfusion-agent explain``: the Agent would not dial that."""
