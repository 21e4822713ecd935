"""``python -m bench``: measure, print, write."""

import argparse
import json
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import chart, machine, ratios, report, scale, scale_chart, scale_report
from bench.chisel_side import ChiselSide
from bench.errors import BenchError
from bench.frp_side import FrpSide
from bench.generator import Generator, LineSpec, build
from bench.measures import GROUPS, STANDARD, Results, Settings, line_measures, take_turns
from bench.openssh_side import OpensshSide
from bench.sides import DirectSide, Side
from bench.socksfusion_side import SocksFusionSide

SCALE = "scale"
QUICK = Settings(rounds=2, seconds=0.8, warm_seconds=0.3, held_streams=300)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure this project beside OpenSSH's ssh -R, in turns in one run, all on this machine. "
        "Absolute figures differ between machines and hours by half; the ratios of one run are what counts.",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each side at each work (5; --quick: 2)")
    parser.add_argument(
        "--only",
        metavar="WORK,...",
        help=f"only these: {', '.join(GROUPS)}; or {SCALE}, alone: how cost grows with streams and agents",
    )
    parser.add_argument(
        "--sides", default="socksfusion,openssh", metavar="SIDE,...", help="socksfusion, openssh, direct (plain TCP)"
    )
    parser.add_argument(
        "--line", type=LineSpec.parse, metavar="RTT,RATE", help="also over a long line, such as 100ms,1000 (ms, Mbit/s)"
    )
    parser.add_argument("--frp", metavar="PATH", help="frpc, to measure frp too (with --frps)")
    parser.add_argument("--frps", metavar="PATH", help="its server")
    parser.add_argument("--chisel", metavar="PATH", help="chisel, to measure it too")
    parser.add_argument("--ssh-cipher", metavar="NAME", help="for OpenSSH (default: its own choice)")
    parser.add_argument(
        "--reactor", metavar="NAME", help="twistd's reactor for this project (default: Twisted's own choice)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="under 60 s: short rounds, compared with bench/ratios.json"
    )
    parser.add_argument("--keep", action="store_true", help="write this run's ratios to bench/ratios.json")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the ratios")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table between the marks of a Markdown page")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="measure nothing: table, chart and page of an earlier --json"
    )
    options = parser.parse_args(arguments)
    options.only = options.only.split(",") if options.only else list(GROUPS)
    options.sides = options.sides.split(",")
    if SCALE in options.only and (options.only != [SCALE] or options.keep):
        parser.error(f"--only {SCALE} stands alone, without other works and without --keep")
    for name, known in (("only", (*GROUPS, SCALE)), ("sides", ("socksfusion", "openssh", "direct"))):
        for word in getattr(options, name):
            if word not in known:
                parser.error(f"--{name}: {word!r} is none of {', '.join(known)}")
    if (options.frp is None) != (options.frps is None):
        parser.error("--frp and --frps go together")
    if options.only == ["line"] and options.line is None:
        parser.error("--only line needs --line RTT,RATE")
    return options


def chosen_sides(options: argparse.Namespace) -> list[tuple[type[Side], dict[str, Any]]]:
    """The sides asked for, in the order of their turns: the class and what its constructor takes beside the common."""
    every: dict[str, tuple[type[Side], dict[str, Any]]] = {
        "socksfusion": (SocksFusionSide, {"reactor": options.reactor}),
        "openssh": (OpensshSide, {"cipher": options.ssh_cipher}),
        "direct": (DirectSide, {}),
    }
    chosen = [every[name] for name in options.sides]
    if options.frp:
        chosen.append((FrpSide, {"frpc": options.frp, "frps": options.frps}))
    if options.chisel:
        chosen.append((ChiselSide, {"chisel": options.chisel}))
    return chosen


class Starts:
    """Makes sides, each start in a new folder below one root."""

    def __init__(self, root: Path, generator: Generator) -> None:
        self._root = root
        self._generator = generator
        self._count = 0

    def make(self, side: type[Side], line: LineSpec | None, own: dict[str, Any]) -> Side:
        self._count += 1
        return side(self._root / str(self._count), self._generator, line, **own)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for; the document of report.as_document."""
    settings = QUICK if options.quick else Settings()
    if options.rounds:
        settings = replace(settings, rounds=options.rounds)
    sides = chosen_sides(options)
    results = Results()
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        starts = Starts(Path(root), Generator(build()))
        standard = [one for one in STANDARD if one.group in options.only]
        take_turns(standard, [partial(starts.make, side, None, own) for side, own in sides], settings, results)
        if options.line and "line" in options.only:
            if DirectSide not in [side for side, _ in sides]:
                sides.append((DirectSide, {}))
            makers = [partial(starts.make, side, options.line, own) for side, own in sides]
            take_turns(line_measures(options.line), makers, settings, results)
    results.note_foreign_load()
    labels = {side.name: side.label for side, _ in sides}
    return report.as_document(results, labels, settings, options.line, machine.describe())


def measure_growth(options: argparse.Namespace) -> dict[str, Any]:
    """Run ``--only scale``; a document of report.as_document, with the rows under ``scale``."""
    results = Results()
    depth = scale.QUICK if options.quick else scale.Depth()
    if options.rounds:
        depth = replace(depth, rounds=options.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        rows = scale.Scale(Path(root), Generator(build()), depth, results, options.reactor).measure()
    results.note_foreign_load()
    settings = Settings(rounds=depth.rounds, seconds=depth.seconds)
    document = report.as_document(
        results, {SocksFusionSide.name: SocksFusionSide.label}, settings, None, machine.describe()
    )
    return {**document, SCALE: rows}


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, 1 when something failed, 2 for a wrong command line or a missing tool."""
    options = parse(arguments)
    # Streams by the thousand need descriptors in every program that is started from here.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run = measure_growth if options.only == [SCALE] else measure
        give_out(options, report.load_document(options.show) if options.show else run(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


def give_out(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Print a run's figures, and write them where the options say."""
    growth = SCALE in document
    part = scale_report.text(document) if growth else report.page_part(document)
    print(part)
    if not growth:
        compare(options, document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(scale_chart.draw(document) if growth else chart.draw(document))
    if options.page:
        mark = scale_report.BEGIN_MARK if growth else report.BEGIN_MARK
        options.page.write_text(report.insert(options.page.read_text(), part, mark))


def compare(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Compare a run with the kept ratios, or keep its own."""
    found = ratios.ratios(report.values_of(document), report.OURS, report.BASE)
    if options.quick:
        print("", report.changes(document, ratios.load_kept(), found), sep="\n")
    if options.keep:
        ratios.save_kept(found, document["machine"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
