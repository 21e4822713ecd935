"""How cost grows: which rows fit the machine, the tables and panels made of them, and many Agents at one Proxy."""

from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from bench import __main__ as program
from bench import report, scale, scale_chart, scale_report
from bench.agents_side import ManyAgentsSide
from bench.generator import Generator
from bench.measures import Results, Settings

MACHINE = {"processor": "one", "cores": 2, "python": "3.11", "kernel": "6", "twisted": "24", "date": "2020-02-02"}


def stream_row(count: int, proxy: float, agent: float) -> dict[str, float]:
    return {"count": count, "proxy_memory": proxy, "agent_memory": agent, "idle": 0.5, "ping": 0.2, "bulk": 400.0}


def agent_row(count: int, proxy: float) -> dict[str, float]:
    return {"count": count, "proxy_memory": proxy, "idle": 0.0, "ping": 0.2, "connect": 0.01 * count}


@pytest.fixture
def document() -> dict[str, Any]:
    results = Results(notes=["a note"])
    rows = {
        "streams": [stream_row(1, 60, 50), stream_row(1_000, 66, 55), stream_row(10_000, 120, 91)],
        "agents": [agent_row(1, 60), agent_row(1_000, 159.9)],
    }
    made = report.as_document(results, {"socksfusion": "SocksFusion"}, Settings(), None, dict(MACHINE))
    return {**made, "scale": rows}


def test_the_tables_have_a_row_a_count_and_say_what_one_more_takes(document: dict[str, Any]) -> None:
    text = scale_report.text(document)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["10,000", "120", "91.0", "0.500", "0.200", "400"] in rows
    assert ["1", "60.0", "0", "0.200", "0.0100"] in rows
    # (120 - 66 + 91 - 55) MB for 9,000 streams; 99.9 MB for 999 agents
    assert "From 1,000 to 10,000 idle streams: 10.0 KB each in both programs together." in text
    assert "From 1 to 1,000 agents: 100 KB each in the Proxy." in text
    assert text.endswith("Note: a note")


def test_one_row_says_nothing_of_growth() -> None:
    assert scale_report.each([stream_row(1, 60, 50)], ["proxy_memory"]) is None


def test_the_page_takes_growth_between_marks_of_its_own(document: dict[str, Any]) -> None:
    begin, end = scale_report.BEGIN_MARK, report.END_MARK
    page = f"{report.BEGIN_MARK}\nfigures\n{end}\n{begin}\nold growth\n{end}\nrest\n"
    filled = report.insert(page, scale_report.text(document), begin)
    assert "\nfigures\n" in filled
    assert "old growth" not in filled
    assert filled.endswith(f"{end}\nrest\n")


def test_the_chart_has_a_panel_a_column_and_one_for_both_memories(document: dict[str, Any]) -> None:
    drawn = minidom.parseString(scale_chart.draw(document))
    assert [len(columns) for columns in scale_chart.panels(scale_report.STREAMS)] == [2, 1, 1, 1]
    assert len(drawn.getElementsByTagName("polyline")) == 5 + 4


@pytest.mark.parametrize(
    ("values", "enclosing"),
    [([1, 1000], (0, 3)), ([0.2, 0.25], (-1, 0)), ([60, 120], (1, 3)), ([10], (1, 2)), ([0, 5], (0, 1)), ([0], (0, 1))],
)
def test_decades_enclose_the_values(values: list[float], enclosing: tuple[int, int]) -> None:
    assert scale_chart.decades(values) == enclosing


def test_nothing_lies_below_its_axis() -> None:
    plot = scale_chart.Plot(0, 0, (0, 4), (-1, 1))
    assert plot.y(0) == plot.y(0.1) == plot.bottom
    assert plot.y(10) == plot.top
    assert plot.x(1) == plot.left


def test_rows_fit_the_limit_of_open_files() -> None:
    assert scale.batches(9_000, 20_000) == [9_000]
    assert scale.batches(10_000, 2_100) == [1_000] * 10
    assert scale.batches(1_050, 2_100) == [1_000, 50]
    assert scale.batches(0, 2_100) == []
    assert scale.streams_that_fit(20_000) >= 10_000
    assert scale.streams_that_fit(4_096) < 10_000
    assert scale.agents_that_fit(1_024) < 1_000


@pytest.mark.parametrize("options", ["--only scale,bulk", "--only scale --keep", "--only wrong"])
def test_scale_stands_alone(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.parse(options.split())
    assert ended.value.code == 2
    assert "--only" in capsys.readouterr().err


def test_scale_is_not_in_the_usual_run() -> None:
    assert "scale" not in program.parse([]).only
    assert program.parse(["--only", "scale"]).only == ["scale"]


@pytest.mark.end_to_end
@pytest.mark.tools
def test_many_agents_come_and_the_first_carries(generator: Generator, tmp_path: Path) -> None:
    with ManyAgentsSide(tmp_path / "side", generator, agents=3) as side:
        assert side.connect_seconds > 0
        keeper = generator.keep(5, tmp_path / "keep.log", via=side.via)
        try:
            keeper.check()
            assert '"held":5' in keeper.log.read_text()
        finally:
            keeper.stop()
