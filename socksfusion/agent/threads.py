"""Threads for what blocks and has no other form: the system's resolver, and a library that asks for tickets."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_Result = TypeVar("_Result")


def start_thread(work: Callable[[], None], name: str = "resolver") -> None:
    """Run ``work`` in a thread that does not keep the program from ending.

    :raises RuntimeError: the system has no thread left.
    """
    threading.Thread(target=work, name=name, daemon=True).start()


def in_thread(reactor: Any, work: Callable[[], _Result], name: str) -> "Deferred[_Result]":
    """Fires with what ``work`` gives in a thread of its own, which goes on where this is cancelled.

    :raises RuntimeError: the system has no thread left.
    """
    done: Deferred[_Result] = Deferred()

    def run() -> None:
        try:
            result = work()
        except BaseException:
            reactor.callFromThread(done.errback, Failure())
        else:
            reactor.callFromThread(done.callback, result)

    start_thread(run, name)
    return done
