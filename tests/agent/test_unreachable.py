"""`Target is unreachable`: ten of a host a minute, then a count a minute."""

from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.agent.messages import Messages


class Told:
    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.messages = Messages(lambda line: self.lines.append(line.split(" ", 1)[1]), seconds=self.clock.seconds)

    def fail(self, times: int, host: str = "192.0.2.1") -> list[str]:
        """What is told when so many ports of a host fail."""
        since = len(self.lines)
        for port in range(1, times + 1):
            self.messages.unreachable(host, port)
        return self.lines[since:]

    def after(self, seconds: float) -> list[str]:
        since = len(self.lines)
        self.clock.advance(seconds)
        self.messages.look()
        return self.lines[since:]


def test_ten_have_a_line_each_and_the_rest_a_count_after_a_minute() -> None:
    told = Told()
    assert told.fail(25) == [f"Target is unreachable: 192.0.2.1:{port}\n" for port in range(1, 11)]
    assert told.after(59) == []
    assert told.after(1) == ["Target is unreachable: 192.0.2.1:25 (15 of this host in the last minute)\n"]


def test_who_goes_on_is_told_once_a_minute_until_it_is_quiet() -> None:
    told = Told()
    told.fail(25)
    told.after(60)
    for _ in range(3):
        assert told.fail(30) == []
        assert told.after(60) == ["Target is unreachable: 192.0.2.1:30 (30 of this host in the last minute)\n"]
    assert told.fail(2) == []
    assert told.after(60) == ["Target is unreachable: 192.0.2.1:2 (2 of this host in the last minute)\n"]
    assert len(told.fail(2)) == 2


def test_hosts_do_not_count_for_each_other() -> None:
    told = Told()
    told.fail(25)
    assert told.fail(1, "2001:db8::1") == ["Target is unreachable: [2001:db8::1]:1\n"]


def test_memory_is_bounded_and_what_is_forgotten_is_told() -> None:
    told = Told()
    told.fail(11, "first.test")
    for number in range(limits.UNREACHABLE_HOSTS):
        told.fail(1, f"{number}.test")
    assert "Target is unreachable: first.test:11 (1 of this host in the last minute)\n" in told.lines
    assert len(told.messages._unreachable._hosts) == limits.UNREACHABLE_HOSTS
