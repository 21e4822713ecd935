"""agent.threads: what a thread gives or raises comes back in the reactor's."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from socksfusion.agent.threads import in_thread


class Reactor:
    """Takes calls from threads, which the test makes."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: function(*arguments))

    def call(self) -> None:
        self._calls.get(timeout=30)()


def test_the_result_comes_back() -> None:
    reactor, results = Reactor(), list[Any]()
    in_thread(reactor, threading.current_thread, "work").addCallback(results.append)
    assert not results
    reactor.call()
    (thread,) = results
    assert (thread.name, thread.daemon) == ("work", True)


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit()], ids=["error", "exit"])
def test_so_does_what_is_raised(error: BaseException) -> None:
    reactor, failures = Reactor(), list[Any]()

    def fails() -> None:
        raise error

    in_thread(reactor, fails, "work").addErrback(failures.append)
    reactor.call()
    assert failures[0].value is error


def test_what_comes_after_a_cancellation_is_forgotten() -> None:
    reactor, failures = Reactor(), list[Any]()
    work = in_thread(reactor, lambda: 1, "work")
    work.addErrback(failures.append)
    work.cancel()
    reactor.call()
    assert failures[0].check(CancelledError)
