import pytest

from socksfusion.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("14d", 1_209_600.0),
        ("0.5s", 0.5),
        ("0s", 0.0),
        ("1m1m", 120.0),
    ],
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-2h", "2 h", "2H", "1e3s", "nan", "٢h", "2h ", "1.2345s", "9999999999s"]
)
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of time such as 90s, 2h, 1h30m or 14d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9999, "1m"), (90, "1m30s"), (0.25, "0.25s"), (86400, "1d"), (90061.5, "1d1h1m1.5s")],
)
def test_spans_shown(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == pytest.approx(seconds, abs=0.001)
