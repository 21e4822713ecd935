"""Errors whose text is written for the person at the terminal, and the exit code that each kind ends a program with."""

from typing import ClassVar

from socksfusion.exit_codes import ExitCode


class OperatorError(Exception):
    """Something that a person has to put right.

    ``str(error)`` is one line: what is wrong and what to do. Programs print it in one place, without a traceback, and
    end with ``exit_code``.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED


class UsageError(OperatorError):
    """An argument, option or configuration that can't be used as it is."""

    exit_code = ExitCode.USAGE


class StateError(OperatorError):
    """The state folder, or the registry in it, can't be used."""

    exit_code = ExitCode.STATE


class CopyError(OperatorError):
    """An Agent's copy file is damaged, foreign, of another version, or can't be written."""

    exit_code = ExitCode.STATE


class ListenError(OperatorError):
    """A listener can't be opened."""

    exit_code = ExitCode.LISTEN
