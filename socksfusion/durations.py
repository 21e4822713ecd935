"""Spans of time as people write them: ``90s``, ``2h``, ``1h30m``, ``14d``."""

import re

from socksfusion.log import printable

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?[dhms])+")
_PART = re.compile(r"([0-9.]+)([dhms])")


def parse_duration(text: str) -> float:
    """Seconds, from numbers with a unit each: ``d``, ``h``, ``m`` or ``s``.

    :raises ValueError: it is none; the text is for the user.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"'{printable(text)}' is no span of time such as 90s, 2h, 1h30m or 14d")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """``seconds`` as ``parse_duration`` reads it, in the largest units: ``1h30m``; to the millisecond."""
    parts, rest = [], round(seconds, 3)
    for unit in "dhm":
        number, rest = divmod(rest, _UNITS[unit])
        if number:
            parts.append(f"{number:.0f}{unit}")
    rest = round(rest, 3)
    if rest or not parts:
        parts.append(f"{rest:g}s")
    return "".join(parts)
