"""`--state`: before or after a command's name, or the environment's."""

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from twisted.python.usage import UsageError as UnknownVariable

from socksfusion import limits
from socksfusion.errors import UsageError
from socksfusion.identity.state import StateFolder
from socksfusion.options import STATE_VARIABLE, refuse_unknown_variables
from socksfusion.registry.store import Registry

_LOOK_SECONDS: Final = 0.02


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


@contextmanager
def open_registry(state: StateFolder | None = None) -> Iterator[Registry]:
    """The registry of ``state``, by default of the given folder; raises ``OperatorError``.

    When the block has ended a running Proxy goes by what was changed: a tool in a script's next line must not find a
    token unknown, or nobody at a port.
    """
    with Registry.open((state or given_state().open()).registry_file) as registry:
        yield registry
        wait_until_heard(registry)


def wait_until_heard(
    registry: Registry, *, sleep: Callable[[float], None] = time.sleep, seconds: Callable[[], float] = time.monotonic
) -> None:
    """Wait for a running Proxy to hear of this command's changes, ``limits.HEARD_SECONDS`` at most: it may be stuck."""
    begun = seconds()
    while not registry.is_heard() and seconds() - begun < limits.HEARD_SECONDS:
        sleep(_LOOK_SECONDS)


def to_type(state: StateFolder, command: str, arguments: str) -> str:
    """A command line for the user to type, with ``--state`` where the environment doesn't name the folder already."""
    named = os.environ.get(STATE_VARIABLE)
    if named and Path(named).absolute() == state.path:
        return f"{command} {arguments}"
    return f"{command} --state {shlex.quote(str(state.path))} {arguments}"
