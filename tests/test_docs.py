"""The docs tell what is there: paths, modules, links, options, limits, exit codes and the seven messages."""

import contextlib
import importlib.util
import io
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from click import Command, Group

from socksfusion.agent.options import Options as AgentOptions
from socksfusion.cli.agent_program import run_command
from socksfusion.cli.main import main
from socksfusion.exit_codes import ExitCode
from socksfusion.options import ProgramOptions
from socksfusion.proxy.options import Options as ProxyOptions

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LIMITS = (DOCS / "limits.md").read_text()
FILE = re.compile(r"`((?:socksfusion(?!/\d)|tests|docs|etc|bench|twisted)/[\w./-]*|(?:\./)?(?:demo|test))`")
MODULE = re.compile(r"`(socksfusion(?:\.[a-z_]\w*)+)(\.[A-Z]\w*|\.[a-z_]\w*\(\))?`")
IN_FILE = re.compile(r"`([\w/]+\.py)`: `(\w+)")
MESSAGES = (
    "Connecting to server...",
    "Connection established",
    "This agent is not registered",
    "Another agent already connected",
    "Scan is started",
    "Running",
    "Target is unreachable: <address>",
)


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        file, _, fragment = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE) if there.is_file() else []
        if not there.exists() or (fragment and fragment not in map(anchor, headings)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in FILE.findall(page.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = [module for module, _ in MODULE.findall(page.read_text())]
    assert [name for name in named if importlib.util.find_spec(name) is None] == []


def test_the_architecture_names_functions_where_they_are() -> None:
    page = (DOCS / "architecture.md").read_text()
    named = IN_FILE.findall(page)
    assert len(named) > 20
    missing = []
    for file, name in named:
        source = (ROOT / "socksfusion" / file).read_text()
        if not re.search(rf"^\s*(?:async )?(?:def|class) {name}\b", source, re.MULTILINE):
            missing.append((file, name))
    assert missing == []


def test_every_decision_has_its_number_once_and_its_parts() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    parts = ["Context", "Decision", "Reasons", "What it costs", "What would change it"]
    for page in pages:
        assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == parts, page.name


def test_the_table_of_limits_is_the_codes() -> None:
    assert load_script(DOCS / "limits_table.py").page(LIMITS) == LIMITS, "type: python docs/limits_table.py"


def test_every_limit_says_what_it_is() -> None:
    script = load_script(DOCS / "limits_table.py")
    assert [name for _, name, _, told in script.constants(script.LIMITS.read_text()) if not told] == []


@pytest.mark.parametrize("options", [AgentOptions(), ProxyOptions()], ids=lambda options: options.program)
def test_every_option_stands_on_the_page_of_limits(options: ProgramOptions) -> None:
    help_text = options.getUsage(width=200)
    known = re.findall(r"^ +(?:-\w, )?--([\w-]+)", help_text, re.MULTILINE)
    assert len(known) > 15
    assert [name for name in known if f"`--{name}`" not in LIMITS] == []


def test_every_option_on_the_page_of_limits_belongs_to_the_programs_that_it_says() -> None:
    of = {"Agent": AgentOptions().longOpt, "Proxy": ProxyOptions().longOpt}
    known = {name: {option.removesuffix("=") for option in options} for name, options in of.items()}
    rows = re.findall(r"^\| `\w+` \|[^|]*\|( `--[^|]*)\|", LIMITS, re.MULTILINE)
    told = [found for row in rows for found in re.findall(r"`--([\w-]+)`(?: \((\w+)\))?", row)]
    others = re.findall(r"^\| (`--[^|]*) \| (\w+) \|", LIMITS, re.MULTILINE)
    told += [(option, who.replace("both", "")) for row, who in others for option in re.findall(r"--([\w-]+)", row)]
    assert len(told) > 30
    wrong = [
        (option, who)
        for option, who in told
        if {name for name in known if option in known[name]} != ({who.capitalize()} if who else set(known))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_option_that_a_page_gives_a_program_is_one(page: Path) -> None:
    wrong = []
    programs = {"socksfusion-proxy": ProxyOptions(), "socksfusion-agent": AgentOptions()}
    for line in page.read_text().replace("\\\n", " ").splitlines():
        typed = re.match(r"^ {4}(?:twistd -n --pidfile= |\S*/bin/)?(socksfusion-(?:proxy|agent)) (.*)", line)
        if typed is not None:
            first = typed[2].split()[0]
            is_command = typed[1] == "socksfusion-agent" and not first.startswith("-")
            known = (
                options_of_command(first)
                if is_command
                else {name.removesuffix("=") for name in programs[typed[1]].longOpt}
            )
            wrong += [name for name in re.findall(r"(?<!\S)--([\w-]+)", typed[2]) if name not in known]
    assert wrong == []


@cache
def options_of_command(name: str) -> set[str]:
    """What the help of ``socksfusion-agent NAME`` lists."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        run_command(name, ["--help"])
    return set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", shown.getvalue(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_that_a_page_types_is_one(page: Path) -> None:
    wrong = []
    for words in re.findall(r"^ {4}(?:.*/bin/)?socksfusion ((?:[\w./=-]+ ?)+)", page.read_text(), re.MULTILINE):
        command: Command | None = main
        for word in words.split():
            if isinstance(command, Group) and not word.startswith("-"):
                command = command.commands.get(word)
        if command is None or isinstance(command, Group):
            wrong.append(words)
    assert wrong == []


@pytest.mark.parametrize("page", ["README.md", "docs/network-admin.md"])
def test_every_exit_code_is_told(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [code for code in ExitCode if not re.search(rf"^\| {code.value} \|", text, re.MULTILINE)] == []


def test_every_message_is_told_to_who_hosts_an_agent() -> None:
    text = (DOCS / "network-admin.md").read_text()
    assert [message for message in MESSAGES if f"| `{message}` |" not in text] == []


def test_help_is_one_text_an_option_without_gaps() -> None:
    for options in (AgentOptions(), ProxyOptions()):
        assert [name for name, text in options.docs.items() if re.search(r"\s\s", text or "")] == []
