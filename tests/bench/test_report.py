"""The benchmark's statistics: ratios of sides that took turns, their noise, what moved, and what is shown of it."""

import json
import math
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from bench import chart, ratios, report
from bench.errors import BenchError
from bench.generator import LineSpec
from bench.measures import FOREIGN_NOTE, Results, Settings
from bench.metrics import STANDARD, line_metrics
from bench.ratios import Ratio

LINE = LineSpec(0.1, 1000.0)
MACHINE = {"processor": "one", "cores": 2, "python": "3.11", "openssh": "OpenSSH_9, x", "date": "2020-02-02"}


def document(values: dict[str, dict[str, list[float]]], line: LineSpec | None = None) -> dict[str, Any]:
    labels = {"socksfusion": "SocksFusion", "openssh": "OpenSSH", "direct": "plain TCP"}
    return report.as_document(Results(values), labels, Settings(), line, dict(MACHINE))


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_ratio_is_of_the_medians_and_its_noise_half_the_spread_of_the_pairs() -> None:
    # pairs: 2, 4, 8 -> the logarithms spread over ln 4
    found = ratios.ratio([100, 200, 800], [50, 50, 100])
    assert found is not None
    assert found.value == 4
    assert found.noise == pytest.approx(math.log(2))
    assert found.percent == pytest.approx(100)


def test_a_drift_that_hits_both_sides_alike_is_no_noise() -> None:
    assert ratios.ratio([10, 20, 40], [5, 10, 20]) == Ratio(2, 0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [([], []), ([1.0], []), ([0.0], [1.0]), ([1.0, math.inf], [1.0, 1.0]), ([1.0], [0.0])]
)
def test_no_ratio_without_figures(ours: list[float], theirs: list[float]) -> None:
    assert ratios.ratio(ours, theirs) is None


@pytest.mark.parametrize(
    ("kept", "now", "factor"),
    [
        (Ratio(2, 0), Ratio(2.1, 0), None),  # under the least noise
        (Ratio(2, 0), Ratio(2.4, 0), 1.2),
        (Ratio(2, 0), Ratio(1, 0), 0.5),
        (Ratio(2, 0.3), Ratio(2.4, 0), None),
        (Ratio(2, 0), Ratio(2.4, 0.3), None),
    ],
)
def test_moved_is_more_than_the_noise_of_both(kept: Ratio, now: Ratio, factor: float | None) -> None:
    assert ratios.moved(kept, now) == (pytest.approx(factor) if factor else None)


def test_a_transfer_is_fast_from_the_first_half_second_that_is_full() -> None:
    # 10 bytes/s for 2 s, then 100 bytes/s for 2 s, sampled ten times a second
    samples = [(tenth / 10, tenth if tenth <= 20 else 20 + 10 * (tenth - 20)) for tenth in range(41)]
    assert ratios.ramp_seconds(samples, 95) == pytest.approx(2.0)
    assert ratios.ramp_seconds(samples, 10) == 0
    assert ratios.ramp_seconds(samples, 101) == math.inf
    assert ratios.steady_rate(samples) == pytest.approx(100)


def test_kept_ratios_are_merged_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    assert ratios.load_kept(path) == {}
    ratios.save_kept({"ping.p50": Ratio(2, 0.1), "connects.cpu": Ratio(1, 0)}, MACHINE, path)
    ratios.save_kept({"ping.p50": Ratio(3, 0.25)}, MACHINE, path)
    assert ratios.load_kept(path) == {"ping.p50": Ratio(3, 0.25), "connects.cpu": Ratio(1, 0)}


def test_the_table_says_which_goals_are_reached() -> None:
    made = document(
        {
            "bulk.1.down.speed": {"socksfusion": [150, 140, 160], "openssh": [100, 100, 100]},
            "bulk.1.down.cpu": {"socksfusion": [2.0], "openssh": [2.0]},
            "memory.stream": {"socksfusion": [30], "openssh": [60]},
            "ping.p99": {"socksfusion": [1], "openssh": [2]},
            "line.beside.p50": {"socksfusion": [112], "openssh": [150], "direct": [101]},
        },
        LINE,
    )
    text = report.table(made)
    assert row(text, "bulk, 1 stream down") == [
        "bulk, 1 stream down",
        "MB/s",
        "150",
        "100",
        "",
        "1.50 ±7 %",
        "≥ 1x yes",
    ]
    assert row(text, "CPU, 1 stream down")[-2:] == ["1.00 ±0 %", "≤ 0.8x NO"]
    assert row(text, "memory an idle stream")[-1] == "≤ 25 NO"
    assert row(text, "ping idle, p99")[-2:] == ["0.50 ±0 %", ""]
    assert row(text, "100 ms line: ping beside 4 bulk")[-1] == "≤ plain TCP + 10 NO"
    assert "100 ms round trip and 1000 Mbit/s" in text


def test_what_never_came_survives_json_and_has_no_ratio() -> None:
    made = document({"line.up.ramp": {"socksfusion": [2.0, 2.2], "openssh": [math.inf, math.inf]}}, LINE)
    again = json.loads(json.dumps(made, allow_nan=False))
    cells = row(report.table(again), "100 ms line: up, until 95 %")
    assert cells[2:] == ["2.10", "never", "", "", "≤ 4 yes"]
    assert minidom.parseString(chart.draw(again))


def test_a_page_gets_the_table_between_its_marks() -> None:
    made = document({"ping.p50": {"socksfusion": [2.0], "openssh": [1.0]}})
    made["machine"] |= {"kernel": "6", "twisted": "24"}
    page = f"# Title\n{report.BEGIN_MARK}\nold figures\n{report.END_MARK}\nthe rest\n"
    part = report.page_part(made)
    filled = report.insert(page, part)
    assert filled.startswith("# Title\n")
    assert filled.endswith("the rest\n")
    assert "old figures" not in filled
    assert "| ping idle, p50 |" in filled
    assert report.insert(filled, part) == filled
    with pytest.raises(BenchError):
        report.insert("# Title\n", part)


def test_changes_name_what_moved_and_which_way() -> None:
    values: dict[str, dict[str, list[float]]] = {
        "ping.p50": {"socksfusion": [2.0], "openssh": [1.0]},
        "connects.speed": {"socksfusion": [4], "openssh": [1]},
    }
    made = document(values)
    now = ratios.ratios(report.values_of(made), "socksfusion", "openssh")
    kept = {"ping.p50": Ratio(1, 0), "connects.speed": Ratio(3.9, 0)}
    said = report.changes(made, kept, now).splitlines()
    assert said == [
        "1 of 2 ratios moved by more than the noise.",
        "WORSE: ping idle, p50: 2.00x OpenSSH, kept 1.00x (+100 %)",
    ]
    made["notes"].append(f"{FOREIGN_NOTE} 50 % of the machine")
    assert "That means little" in report.changes(made, kept, now).splitlines()[0]
    assert "bench/ratios.json is not there" in report.changes(made, {}, now)
    assert "has none of these" in report.changes(made, {"line.up.speed": Ratio(1, 0)}, now)


def test_the_chart_turns_what_should_be_small_round() -> None:
    speed, cpu = (next(one for one in STANDARD if one.key == key) for key in ("connects.speed", "connects.cpu"))
    assert chart.goodness(speed, 200, 100) == 2
    assert chart.goodness(cpu, 200, 100) == 0.5
    assert chart.goodness(cpu, math.inf, 100) is None


def test_every_measured_metric_is_in_the_catalogue_once() -> None:
    keys = [metric.key for metric in STANDARD + line_metrics(LINE)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (1234.6, "1,235"), (12.345, "12.3"), (0.01234, "0.0123"), (math.inf, "never")]
)
def test_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown
