"""What arguments and options of the commands are read as: spans of time, networks, ports, lists of names.

And what several commands say alike: an option, and examples.
"""

from typing import Any

import click

from socksfusion import limits
from socksfusion.durations import format_duration, parse_duration
from socksfusion.networks import parse_network

NEVER = "never"
NONE = "none"


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """A span of time such as ``2h``, in seconds; above 0 unless ``zero`` is allowed, and at most ``largest``.

    Without that bound a moment so far off could not be told as a date.
    """

    name = "duration"

    def __init__(self, *, zero: bool = False, largest: float = limits.SPAN_LARGEST_SECONDS) -> None:
        self._zero = zero
        self._largest = largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; a default may be a number already."""
        try:
            seconds = parse_duration(value) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0 and not self._zero:
            self.fail("it must be longer than nothing", param, ctx)
        if seconds > self._largest:
            self.fail(f"at most {format_duration(self._largest)} is possible", param, ctx)
        return seconds


class Until(Duration):
    """The same, or ``never``: None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Seconds, or None."""
        return None if value == NEVER or value is None else super().convert(value, param, ctx)


class Networks(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Networks with a comma between them, as their usual texts; where ``none`` is allowed it means no network."""

    name = "networks"

    def __init__(self, *, none: bool = False) -> None:
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The texts, each once, in their order."""
        if isinstance(value, tuple):
            return value
        if self._none and value == NONE:
            return ()
        try:
            networks = tuple(dict.fromkeys(str(parse_network(text.strip())) for text in value.split(",")))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if len(networks) > limits.NARROWING_NETWORKS:
            self.fail(f"at most {limits.NARROWING_NETWORKS} networks are possible", param, ctx)
        return networks


class Names(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Names with a comma between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, in their order."""
        return value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(","))


PORT = click.IntRange(1, 65535)

narrowing_option = click.option(
    "--allow",
    metavar="CIDR,...",
    type=Networks(),
    default=(),
    help="Networks beyond which it reaches nothing, whatever the agent allows.  [default: as far as the agent allows]",
)


def examples(group: str, *lines: str) -> str:
    """The end of a command's help: how commands of ``socksfusion GROUP`` are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  socksfusion {group} {line}" for line in lines)
