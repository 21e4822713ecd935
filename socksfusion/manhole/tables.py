"""Tables for a terminal."""

from collections.abc import Iterable, Sequence

from socksfusion.log import printable


def table(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> str:
    """Lines with columns as wide as they need, numbers to the right; cells can't control the terminal."""
    cells = [[printable(str(value)) for value in row] for row in rows]
    numeric = [bool(cells) and all(row[index].isdigit() for row in cells) for index in range(len(headers))]
    widths = [max(len(row[index]) for row in [*cells, headers]) for index in range(len(headers))]
    lines = [_line(headers, widths, numeric), _line(["-" * width for width in widths], widths, numeric)]
    lines += [_line(row, widths, numeric) for row in cells]
    return "\n".join(lines if cells else [*lines, "(none)"])


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return "  ".join(aligned).rstrip()
