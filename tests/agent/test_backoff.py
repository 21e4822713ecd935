"""How long the Agent waits, for each way in which a call may have ended."""

import pytest

from socksfusion import limits
from socksfusion.agent.backoff import Backoff


def largest(low: float, high: float) -> float:
    return high


def smallest(low: float, high: float) -> float:
    return low


def test_losses_double_the_bound_up_to_the_largest() -> None:
    backoff = Backoff(uniform=largest)
    assert [backoff.after(None) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_full_jitter_begins_at_nothing() -> None:
    """Row K2: Agents of one Proxy that come back do not come at once."""
    backoff = Backoff(uniform=smallest)
    assert [backoff.after(None) for _ in range(3)] == [0, 0, 0]


def test_a_welcome_begins_anew() -> None:
    backoff = Backoff(uniform=largest)
    for _ in range(5):
        backoff.after(None)
    backoff.succeeded()
    assert backoff.after(None) == 1


def test_a_duplicate_retries_after_exactly_5_seconds_and_does_not_move_the_bound() -> None:
    backoff = Backoff()
    assert {backoff.after("duplicate") for _ in range(20)} == {limits.DUPLICATE_RETRY_SECONDS} == {5.0}
    assert Backoff(uniform=largest).after(None) == 1


@pytest.mark.parametrize(("uniform", "seconds"), [(smallest, 270), (largest, 330)])
def test_unknown_waits_5_minutes_with_a_tenth_of_jitter(uniform: object, seconds: float) -> None:
    assert Backoff(uniform=uniform).after("unknown") == pytest.approx(seconds)  # type: ignore[arg-type]


def test_unknown_by_option() -> None:
    assert Backoff(unregistered_seconds=2, uniform=largest).after("unknown") == pytest.approx(2.2)


@pytest.mark.parametrize(("uniform", "seconds"), [(smallest, 15), (largest, 30)])
def test_another_refusal_waits_about_the_largest(uniform: object, seconds: float) -> None:
    assert Backoff(uniform=uniform).after("version") == seconds  # type: ignore[arg-type]


def test_real_jitter_lies_within_its_bounds() -> None:
    backoff = Backoff()
    for bound in (1, 2, 4, 8, 16, 30, 30, 30):
        assert 0 <= backoff.after(None) <= bound
