"""Options of both programs: on the command line or in a TOML file (``--config FILE``), each with its unit and default.

A key of the file is an option's name without the dashes before it (``authorized-keys = "keys"``). The command line
wins. A wrong or unknown key, value or environment variable stops the program before it starts.
"""

import getopt
import math
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from socksfusion import __version__, limits
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode

STATE_VARIABLE = "SOCKSFUSION_STATE"
"""Names the state folder where ``--state`` is not given. No other variable of this prefix has a meaning."""

_NOT_IN_A_FILE = frozenset({"config", "help", "version"})
_UNITS = {"MiB": limits.MIB, "KiB": limits.KIB}


def _log_form(value: str) -> str:
    if value not in ("text", "json"):
        raise usage.UsageError(f"--log: {value!r} is not text or json")
    return value


Parameter = list[Any]
"""One entry of ``optParameters``: long name, short name, default, help, coerce."""


class Size(int):
    """A number of bytes that shows itself in the largest whole unit."""

    def __str__(self) -> str:
        for unit, factor in _UNITS.items():
            if self and self % factor == 0:
                return f"{int(self) // factor}{unit}"
        return repr(int(self))


class ProgramOptions(usage.Options):
    """Base of a program's options; ``self[name]`` is an option's value, by its name without dashes before it.

    Under twistd (``parent`` is set) wrong usage prints one line on standard error and ends the process with exit code
    2; otherwise ``usage.UsageError`` is raised.
    """

    program: ClassVar[str] = "socksfusion"
    extra: ClassVar[str] = "proxy"
    """The extra that installs what only some ways of running the program need."""
    repeatable: ClassVar[tuple[str, ...]] = ()
    """Options that make a list; each has an ``opt_`` method that appends to it."""
    paths: ClassVar[tuple[str, ...]] = ()
    """Options that name a file or folder; in a configuration file they are relative to its folder."""

    optParameters: ClassVar[Sequence[Parameter]] = [
        ["config", None, None, "TOML file with any of these options; the command line wins", os.path.abspath],
        ["log", None, "text", "form of the log on standard error, text or json (one object a line)", _log_form],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Twisted takes an option's help from the docstring of its method, line breaks and indentation too
        self.docs = {name: " ".join(text.split()) for name, text in self.docs.items()}
        for name in self.repeatable:
            self[name] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line and the file that it names."""
        arguments = list(sys.argv[1:] if options is None else options)
        try:
            refuse_unknown_variables(os.environ)
            super().parseOptions(  # type: ignore[no-untyped-call]
                [*self._file_arguments(arguments), *arguments]
            )
        except usage.UsageError as error:
            if self.parent is None:
                raise
            # twistd would print every option on standard output and end with 1
            complain(self.program, f"{error} (--help tells the options)")
            raise SystemExit(ExitCode.USAGE) from None

    def parseArgs(self, *stray: str) -> None:
        """Refuse what belongs to no option."""
        if stray:
            raise usage.UsageError(f"{stray[0]!r} belongs to no option")

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"{self.program} {__version__}")
        raise SystemExit(ExitCode.NORMAL)

    def _file_arguments(self, arguments: Sequence[str]) -> list[str]:
        """The configuration file as command-line arguments; they go before the real ones, so that the last wins."""
        try:
            given = dict(getopt.getopt(arguments, self.shortOpt, self.longOpt)[0])
        except getopt.GetoptError:
            return []  # the real parser tells what is wrong
        if "--config" not in given:
            return []
        config = Path(given["--config"]).absolute()
        found: list[str] = []
        for key, value in read_toml(config).items():
            texts = self._texts(config, key, value)
            # a list on the command line replaces the file's instead of growing it
            if not (key in self.repeatable and f"--{key}" in given):
                found += texts
        return found

    def _texts(self, path: Path, key: str, value: object) -> list[str]:
        where = f"{path}: {key}"
        with_value = {name.removesuffix("=") for name in self.longOpt if name.endswith("=")}
        flags = set(self.longOpt) - {f"{name}=" for name in with_value}
        if key in _NOT_IN_A_FILE or key not in with_value | flags:
            raise usage.UsageError(f"{path}: unknown key {key!r}")
        if key in flags:
            if not isinstance(value, bool):
                raise usage.UsageError(f"{where} must be true or false")
            return [f"--{key}"] if value else []
        if key in self.repeatable:
            if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
                raise usage.UsageError(f"{where} must be a list of one text or more")
            return [f"--{key}={item}" for item in value]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise usage.UsageError(f"{where} must be a text or a number")
        if key in self.paths:
            value = os.path.join(path.parent, str(value))
        return [f"--{key}={value}"]


def read_toml(path: Path) -> dict[str, Any]:
    """The file's keys and values; ``usage.UsageError`` tells why it can't be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise usage.UsageError(f"can't read the configuration file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # the last: thousands of brackets
        raise usage.UsageError(f"{path} is not a TOML file: {error}") from error


def refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Raise ``usage.UsageError`` for a ``SOCKSFUSION_`` variable without a meaning: it would be silently unread."""
    for name in sorted(environment):
        if name.startswith("SOCKSFUSION_") and name != STATE_VARIABLE:
            raise usage.UsageError(f"unknown environment variable {name} (known: {STATE_VARIABLE})")


def visible(text: str) -> str:
    r"""``text`` as one line: characters that don't print become ``\xNN`` or ``\uNNNN``."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def complain(program: str, text: str) -> None:
    """Write one line to standard error, whatever the log does."""
    print(f"{program}: {visible(text)}", file=sys.__stderr__, flush=True)


def install_hint(extra: str) -> str:
    """What to do where a package is missing."""
    return f"install SocksFusion with its extra {extra}; in a clone: pip install '.[{extra}]'"


def text(name: str, default: str | None, what: str, check: Callable[[str], str] = str) -> Parameter:
    """An option with a text; ``check`` gives the value, or ``ValueError`` or ``OperatorError`` with the reason."""
    return parameter(name, default, what, check)


def seconds(name: str, default: float, what: str, *, largest: float = math.inf) -> Parameter:
    """An option with a time in seconds, above 0 and at most ``largest``."""
    bound = f", at most {largest:g}" if math.isfinite(largest) else ""

    def parse(value: str) -> float:
        number = float(value)
        if not (math.isfinite(number) and 0 < number <= largest):
            raise ValueError
        return number

    return parameter(name, default, f"{what}{bound} (seconds)", parse, f"a number of seconds above 0{bound}")


def count(name: str, default: int | None, what: str) -> Parameter:
    """An option with a whole number, above 0; None: off."""

    def parse(value: str) -> int:
        return _above_zero(int(value))

    return parameter(name, default, f"{what} (a number)", parse, "a whole number above 0")


def size(name: str, default: int | None, what: str) -> Parameter:
    """An option with a number of bytes, above 0: ``65536``, ``64KiB`` or ``1MiB``; None: off."""

    def parse(value: str) -> int:
        for unit, factor in _UNITS.items():
            if value.endswith(unit):
                return Size(_above_zero(int(value.removesuffix(unit))) * factor)
        return Size(_above_zero(int(value)))

    shown = None if default is None else Size(default)
    return parameter(name, shown, f"{what} (bytes)", parse, "a size such as 65536, 64KiB or 1MiB")


def path(name: str, what: str, default: str | None = None) -> Parameter:
    """An option with a file or folder, made absolute at once: a daemon changes its folder later."""
    return parameter(name, default, what, os.path.abspath)


def parameter(
    name: str, default: object, what: str, parse: Callable[[str], Any], expected: str | None = None
) -> Parameter:
    """An option whose ``parse`` raises as in ``text``; ``expected`` says what is right where the error doesn't."""

    def coerce(value: str) -> Any:
        try:
            return parse(value)
        except (ValueError, OperatorError) as error:
            reason = f"{value!r} is not {expected}" if expected else str(error)
            raise usage.UsageError(f"--{name}: {reason}") from None

    return [name, None, default, what, coerce]


def _above_zero(number: int) -> int:
    if number <= 0:
        raise ValueError
    return number
