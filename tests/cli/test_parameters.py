import click
import pytest

from socksfusion.cli.parameters import Duration, Names, Networks, Until


def convert(kind: click.ParamType, text: str) -> object:
    return kind.convert(text, None, None)


def test_spans_of_time() -> None:
    assert convert(Duration(), "2h") == 7200.0
    assert convert(Duration(zero=True), "0s") == 0.0
    assert convert(Duration(largest=120.0), "2m") == 120.0
    assert convert(Until(), "14d") == 14 * 86400.0
    assert convert(Until(), "never") is None


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Duration(), "2", "is no span of time such as"),
        (Duration(), "0s", "longer than nothing"),
        (Duration(largest=120.0), "121s", "at most 2m is possible"),
        (Duration(), "36501d", "at most 36500d is possible"),
        (Until(), "ever", "is no span of time such as"),
        (Until(), "999999999d", "at most 36500d is possible"),
        (Networks(), "10.0.0.0/8,x", "x: not a network such as"),
        (Networks(), "10.0.0.1/8", "did you mean 10.0.0.0/8"),
        (Networks(), "none", "none: not a network"),
        (Networks(), "", "not a network"),
        (Networks(), ",".join(f"10.0.{number}.0/24" for number in range(256)) + ",10.1.0.0/24", "at most 256 networks"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_none(kind: click.ParamType, text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        convert(kind, text)


def test_lists() -> None:
    assert convert(Networks(), "10.0.0.0/8, 192.0.2.7,::ffff:10.0.0.0/104") == ("10.0.0.0/8", "192.0.2.7/32")
    assert convert(Networks(none=True), "none") == ()
    assert convert(Names(), "a, b") == ("a", "b")
