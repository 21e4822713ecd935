"""agent.agreed_end: what stands when the agreed time is over."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksfusion import limits
from socksfusion.agent.agreed_end import AgreedEnd

NOW = 1_700_000_000.0


class Agreement:
    """One that ends in a minute, with three connections at first."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wall = NOW
        self.standing = 3
        self.ended = AgreedEnd(self.clock, NOW + 60, self.reset, wall_clock=lambda: self.wall)
        self.ended.startService()

    def reset(self) -> int:
        count, self.standing = self.standing, 0
        return count

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.wall += 1
            self.clock.advance(limits.RIGHTS_SECONDS)


def test_what_stands_is_reset_within_a_second_and_told() -> None:
    agreement = Agreement()
    agreement.pass_time(59)
    assert agreement.standing == 3
    with capturedLogs() as told:
        agreement.pass_time(5)
    assert agreement.standing == 0
    assert [event["count"] for event in told] == [3]


def test_what_stands_later_is_reset_too() -> None:
    agreement = Agreement()
    agreement.pass_time(60)
    agreement.standing = 1
    agreement.pass_time(1)
    assert agreement.standing == 0


def test_after_the_end_nothing_looks() -> None:
    agreement = Agreement()
    agreement.ended.stopService()
    agreement.pass_time(61)
    assert agreement.standing == 3
    assert not agreement.clock.getDelayedCalls()
