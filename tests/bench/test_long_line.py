"""A line of 100 ms and 200 Mbit/s is filled by one stream: its window grows with what the line holds."""

from pathlib import Path

import pytest

from bench.generator import Generator, LineSpec
from bench.socksfusion_side import SocksFusionSide

pytestmark = [pytest.mark.end_to_end, pytest.mark.tools]

LINE = LineSpec(0.1, 200)
SHARE = 0.8


@pytest.mark.parametrize("direction", ["down", "up"])
def test_one_stream_takes_four_fifths_of_it(generator: Generator, tmp_path: Path, direction: str) -> None:
    """A window of 256 KiB, which is what a stream begins with, would carry a tenth of it.

    The line is no busier on a busy machine, so a slow moment is not the last word.
    """
    with SocksFusionSide(tmp_path / "side", generator, LINE) as side:
        rates: list[float] = []
        while max(rates, default=0) < SHARE * LINE.megabytes and len(rates) < 4:
            bulk = generator.run("bulk", limit_seconds=20, via=side.via, seconds=1.0, warm="2s", direction=direction)
            rates.append(bulk["bytes"] / bulk["seconds"] / 1e6)
    assert max(rates) >= SHARE * LINE.megabytes, rates
