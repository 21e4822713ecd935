"""Names at the Agent: the system's resolver, in threads of its own.

A hostile answer or a silent server costs a thread for a while, never the reactor (attacks.md, row F4).
"""

import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from socksfusion import limits
from socksfusion.agent.errors import ConnectFailed
from socksfusion.agent.threads import start_thread
from socksfusion.wire.socks5 import Reply


class NameNotFound(ConnectFailed):
    """The resolver says that there is no such name, or no address of it."""

    reply = Reply.HOST_UNREACHABLE
    tried = True


class NameTimedOut(ConnectFailed):
    """The resolver did not answer in time."""

    reply = Reply.HOST_UNREACHABLE
    tried = True


class ResolverFailed(ConnectFailed):
    """The look-up failed for a reason on our side: nothing is known about the name."""

    rule = "resolver"


def look_up(name: str) -> list[str]:
    """The addresses of ``name``, in the order that the system prefers; blocks.

    :raises OSError: as ``getaddrinfo`` does.
    :raises ValueError: it can't be a name.
    """
    if not name or "\0" in name or len(name) > limits.HOST_NAME_BYTES:
        raise ValueError("not a name")
    # as bytes, so that getaddrinfo does not run a codec over it that refuses names which servers know
    encoded = name.encode("ascii") if name.isascii() else name.encode("idna")
    answers = socket.getaddrinfo(encoded, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(_literal(answer[4]) for answer in answers))


def _literal(address: tuple[Any, ...]) -> str:
    host = str(address[0])
    scope = address[3] if len(address) > 3 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host


class _LookUp:
    """One name being looked up, for all who asked for it meanwhile."""

    __slots__ = ("name", "started", "waiters")

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = False
        self.waiters: dict[Deferred[list[str]], None] = {}

    def too_late(self, seconds: float) -> ConnectFailed:
        if self.started:
            return NameTimedOut(f"no answer about the name in {seconds:g} s")
        return ResolverFailed(f"the look-up waited {seconds:g} s for others")


class Resolver:
    """Looks names up: at most ``threads`` at once and ``waiting`` more in order; equal names share one look-up.

    ``call_from_thread`` is the reactor's. ``look_up`` is called in a thread that ``run`` starts. A look-up that nobody
    waits for any more leaves the queue; one that is under way can't be stopped and keeps its thread until the system's
    resolver gives up.
    """

    def __init__(
        self,
        clock: IReactorTime,
        call_from_thread: Callable[..., object],
        *,
        look_up: Callable[[str], list[str]] = look_up,
        run: Callable[[Callable[[], None]], None] = start_thread,
        threads: int = limits.RESOLVER_THREADS,
        waiting: int = limits.RESOLVER_WAITING,
    ) -> None:
        self._clock = clock
        self._call_from_thread = call_from_thread
        self._look_up = look_up
        self._run = run
        self._threads = threads
        self._most_waiting = waiting
        self._look_ups: dict[str, _LookUp] = {}
        self._queue: OrderedDict[str, _LookUp] = OrderedDict()
        self.running = 0
        """Look-ups that a thread works at."""

    @property
    def queued(self) -> int:
        """Look-ups that wait for a thread."""
        return len(self._queue)

    def resolve(self, name: str, seconds: float = limits.RESOLVER_SECONDS) -> "Deferred[list[str]]":
        """The addresses of ``name``; fails with a :class:`ConnectFailed` within ``seconds``. It may be cancelled."""
        key = name.lower()
        shared = self._look_ups.get(key)
        if shared is None:
            if self.running >= self._threads and len(self._queue) >= self._most_waiting:
                return fail(ResolverFailed(f"{len(self._queue)} look-ups wait already"))
            shared = self._look_ups[key] = self._queue[key] = _LookUp(name)
        waiter: Deferred[list[str]] = Deferred(lambda _: self._leave(key, shared, waiter))
        shared.waiters[waiter] = None

        def too_late(_result: object, after: float) -> NoReturn:
            raise shared.too_late(after)

        waiter.addTimeout(seconds, self._clock, onTimeoutCancel=too_late)
        self._start_waiting()
        return waiter

    def _leave(self, key: str, shared: _LookUp, waiter: "Deferred[list[str]]") -> None:
        shared.waiters.pop(waiter, None)
        if not shared.waiters and self._queue.pop(key, None) is not None:
            del self._look_ups[key]

    def _start_waiting(self) -> None:
        while self._queue and self.running < self._threads:
            key, shared = self._queue.popitem(last=False)
            self._start(key, shared)

    def _start(self, key: str, shared: _LookUp) -> None:
        def work() -> None:
            result: list[str] | Exception
            try:
                result = self._look_up(shared.name)
            except Exception as error:
                result = error
            self._call_from_thread(self._finished, key, result)

        self.running += 1
        shared.started = True
        try:
            self._run(work)
        except RuntimeError as error:
            self._finished(key, OSError(str(error)))

    def _finished(self, key: str, result: list[str] | Exception) -> None:
        self.running -= 1
        shared = self._look_ups.pop(key)
        waiters, shared.waiters = shared.waiters, {}
        for waiter in waiters:
            if isinstance(result, Exception):
                waiter.errback(_failure(result))
            elif result:
                waiter.callback(result.copy())
            else:
                waiter.errback(NameNotFound("the name has no address"))
        self._start_waiting()


def _failure(error: Exception) -> ConnectFailed:
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_MEMORY:
        return NameNotFound(f"name not resolved: {error.strerror}")
    if isinstance(error, ValueError):
        return NameNotFound("not a valid name")
    return ResolverFailed(f"look-up failed: {error}")
