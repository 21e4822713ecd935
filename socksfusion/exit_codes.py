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
    """This Agent is not registered: ``--exit-if-unregistered`` was given, or ``doctor`` has found it."""
    DENIED = 7
    """``socksfusion-agent explain`` and ``doctor``: the Agent would not dial that."""
    CLOCK = 20
    """``socksfusion-agent doctor``, as all below: a clock and a certificate's dates don't fit."""
    NAME = 21
    """A name can't be resolved here."""
    OUTBOUND = 22
    """The network's own proxy does not connect to the Proxy."""
    UNREACHABLE = 23
    """No TCP connection to the Proxy."""
    TLS = 24
    """What answers there does not speak TLS 1.3 as a Proxy does."""
    CERTIFICATE = 25
    """It shows a certificate that is not this installation's (TLS is opened on the way), or refuses this copy's."""
    REGISTRATION = 26
    """The Proxy gives no answer, or speaks another version."""
    TARGET = 27
    """The first target gives no connection."""
