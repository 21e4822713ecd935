"""A RegistryWatch's reactor and thread, a step at a time."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksfusion import limits


class SteppedReactor(Clock):
    """A Clock whose callFromThread runs in the next turn, as the real one's does."""

    def callFromThread(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        self.callLater(0, function, *arguments, **named)


class SameThread:
    """A thread pool that does the work at once, in this thread."""

    def __init__(self) -> None:
        self.runs = False

    def start(self) -> None:
        self.runs = True

    def stop(self) -> None:
        self.runs = False

    def callInThreadWithCallback(self, on_result: Any, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        try:
            result = function(*args, **named)
        except BaseException:
            on_result(False, Failure())
        else:
            on_result(True, result)


class BusyThread(SameThread):
    """The same, but what comes waits until ``go_on``, as behind a long call."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Any, ...]] = []

    def callInThreadWithCallback(self, *call: Any, **named: Any) -> None:
        self.waiting.append((call, named))

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call, named in waiting:
            super().callInThreadWithCallback(*call, **named)


def poll(clock: SteppedReactor) -> None:
    """Let the watch look for changes once."""
    clock.advance(limits.REGISTRY_POLL_SECONDS)
    clock.advance(0)
