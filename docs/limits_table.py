"""Write the table of docs/limits.md: all of it from the code but the last column, which is the page's own.

Run it as: python docs/limits_table.py
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "limits.md"
LIMITS = ROOT / "socksfusion" / "limits.py"
OPTIONS = {name: ROOT / "socksfusion" / name / "options.py" for name in ("proxy", "agent")}
BEGIN, END = "<!-- the table: begin -->\n", "<!-- the table: end -->\n"
UNITS_ONLY = {"KIB", "MIB"}
HEAD = "| limit | value | option | what | why so |\n|---|---|---|---|---|\n"


def constants(source: str) -> Iterator[tuple[str, str, object, str]]:
    """(section, name, value, docstring) of every limit in ``source``, in its order."""
    values: dict[str, object] = {}
    exec(compile(source, str(LIMITS), "exec"), values)
    body = ast.parse(source).body
    titles = [(number, line.strip("# -")) for number, line in enumerate(source.splitlines(), 1) if line[:4] == "# --"]
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        if name in UNITS_ONLY:
            continue
        told = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            told = " ".join(str(following.value.value).split())
        section = [title for number, title in titles if number < node.lineno][-1]
        yield section, name, values[name], told


def options() -> dict[str, list[str]]:
    """Limit to the options that change it, such as ``{"PING_SECONDS": ["--ping"]}``; who has it where just one has."""
    found: dict[str, dict[str, list[str]]] = {}
    for program, path in OPTIONS.items():
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            for argument in call.args[1:]:
                if isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "limits":
                    programs = found.setdefault(argument.attr, {}).setdefault(f"--{call.args[0].value!s}", [])
                    programs.append(program)
    return {
        name: [
            f"`{option}`" + ("" if len(programs) == len(OPTIONS) else f" ({programs[0]})")
            for option, programs in by_option.items()
        ]
        for name, by_option in found.items()
    }


def shown(name: str, value: object) -> str:
    """A value with its unit, which the end of the name tells."""
    assert isinstance(value, int | float)
    if name.endswith("_BYTES"):
        for unit, size in (("MiB", 1024**2), ("KiB", 1024)):
            if value >= size and value % size == 0:
                return f"{int(value) // size} {unit}"
        return f"{value} bytes"
    if name.endswith("_SECONDS"):
        return f"{value:,g} s"
    if name.endswith("_DAYS"):
        return f"{value:,} days"
    return f"{value:,}"


def page(text: str) -> str:
    """The page ``text`` with its table brought up to date."""
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    reasons = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|[^|]*\| (.*) \|$", table, re.MULTILINE))
    changed_by, last, rows = options(), "", [HEAD]
    for section, name, value, told in constants(LIMITS.read_text()):
        if section != last:
            rows.append(f"| **{section}** | | | | |\n")
            last = section
        option = ", ".join(changed_by.get(name, [])) or "none"
        rows.append(f"| `{name}` | {shown(name, value)} | {option} | {told} | {reasons.get(name, '')} |\n")
    return before + BEGIN + "".join(rows) + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
