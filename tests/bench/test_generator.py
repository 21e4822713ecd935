"""The load generator against plain TCP: it must be able to do more than any tunnel, and report what it did."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from bench.errors import BenchError, MissingTool
from bench.generator import Generator, LineSpec, build
from bench.sides import DirectSide

pytestmark = [pytest.mark.end_to_end, pytest.mark.tools]


def test_bulk_connects_and_pings_without_a_tunnel(generator: Generator, tmp_path: Path) -> None:
    with DirectSide(tmp_path / "direct", generator) as side:
        for direction in ("down", "up"):
            bulk = generator.run("bulk", limit_seconds=20, via=side.via, seconds=0.2, warm="50ms", direction=direction)
            assert bulk["bytes"] > 1e6
        rate = generator.run("rate", limit_seconds=20, via=side.via, seconds=0.2, warm="50ms", workers=4)
        assert rate["connects"] > 50
        assert rate["failed"] == 0
        ping = generator.run("ping", limit_seconds=20, via=side.via, seconds=0.2, warm="50ms")
        assert 0 < ping["p50_ms"] <= ping["p99_ms"]


def test_a_line_delays_both_ways_and_keeps_its_rate(generator: Generator, tmp_path: Path) -> None:
    with DirectSide(tmp_path / "direct", generator, LineSpec(0.04, 80)) as side:
        measure = partial(generator.run, limit_seconds=20, via=side.via, target=side.target)
        assert measure("ping", seconds=0.2, warm="0s")["p50_ms"] >= 40
        bulk = measure("bulk", seconds=1.0, warm="300ms")
        assert bulk["bytes"] / bulk["seconds"] < 11e6


def test_it_ends_by_itself_and_never_leaves_loopback(generator: Generator) -> None:
    with pytest.raises(BenchError, match="not done after 1s"):
        generator.run("bulk", limit_seconds=1, via="direct:", seconds=60)
    with pytest.raises(BenchError, match="not on loopback"):
        generator.run("bulk", limit_seconds=5, via="direct:192.0.2.1:9")


def test_without_go_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: None)
    with pytest.raises(MissingTool, match=r"^go is not there") as caught:
        build()
    assert caught.value.code == 2
