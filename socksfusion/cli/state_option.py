"""`--state`: before or after a command's name, or the environment's."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from twisted.python.usage import UsageError as UnknownVariable

from socksfusion.errors import UsageError
from socksfusion.identity.state import StateFolder
from socksfusion.options import STATE_VARIABLE, refuse_unknown_variables
from socksfusion.registry.store import Registry


def state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command or group ``--state DIR``; where it stands twice, the last one holds."""
    return click.option(
        "--state",
        metavar="DIR",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_remember,
        help=f"The state folder.  [default: the environment variable {STATE_VARIABLE}]",
    )(command)


def _remember(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.find_root().obj = value


def given_state() -> StateFolder:
    """The state folder that the command was given, not opened yet; raises ``UsageError`` where it was given none."""
    return state_of(click.get_current_context())


def state_of(context: click.Context) -> StateFolder:
    """The same for a command that may not run yet, by its context."""
    try:
        refuse_unknown_variables(os.environ)
    except UnknownVariable as error:
        raise UsageError(str(error))
    path = context.find_root().obj or os.environ.get(STATE_VARIABLE)
    if not path:
        raise UsageError(f"say where the state folder is: --state DIR, or the environment variable {STATE_VARIABLE}")
    return StateFolder(Path(path).absolute())


def open_registry() -> Registry:
    """The registry of the given state folder; raises ``OperatorError``."""
    return Registry.open(given_state().open().registry_file)


def to_type(state: StateFolder, command: str, arguments: str) -> str:
    """A command line for the user to type, with ``--state`` where the environment doesn't name the folder already."""
    named = os.environ.get(STATE_VARIABLE)
    if named and Path(named).absolute() == state.path:
        return f"{command} {arguments}"
    return f"{command} --state {shlex.quote(str(state.path))} {arguments}"
