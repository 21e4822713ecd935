"""The registry inside a running Proxy: a thread of its own for SQLite, and a snapshot in memory for everything else."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from socksfusion import limits
from socksfusion.log import make_logger, printable
from socksfusion.registry.database import RegistryError
from socksfusion.registry.schema import Snapshot
from socksfusion.registry.store import Registry

_log = make_logger()

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Call:
    """A call of ``run``'s, from the reactor to the thread and back."""

    function: Callable[[], Any]
    answer: "Deferred[Any]" = field(default_factory=Deferred)
    result: Any = None


class RegistryWatch(Service):
    """Keeps ``snapshot`` in step with the registry at ``path`` and tells ``observe``'s callbacks when it changed.

    Driven by three kinds of sources: a timer that looks for other processes' changes every
    ``limits.REGISTRY_POLL_SECONDS``; ``run``, for the Proxy's own changes; and the service's start and stop. While the
    database fails or its file is gone, the snapshot stays as it was, and one line in the log says so.

    The registry is opened by ``startService``, not before: twistd forks in between, and SQLite must not cross a fork.
    """

    snapshot: Snapshot
    """The registry as it was read last; there from ``startService`` on."""

    def __init__(self, reactor: Any, path: Path, threads: Any = None) -> None:
        self._reactor = reactor
        self._path = path
        self._threads = threads or ThreadPool(1, 1, "registry")
        self._observers: list[Callable[[Snapshot], None]] = []
        self._registry: Registry | None = None
        self._loaded = (0, 0)
        self._waiting: deque[_Call] = deque()
        self._failing = False
        self._poll = LoopingCall(self._look)
        self._poll.clock = reactor

    def observe(self, changed: Callable[[Snapshot], None]) -> None:
        """Have ``changed(snapshot)`` called on the reactor after each change, beginning with the next one."""
        self._observers.append(changed)

    def startService(self) -> None:
        """Open the registry and read it, before the first connection can ask.

        Raises ``RegistryError``, also where another Proxy works with it: what each of two would write of the running
        scans is wrong, such as a gap that the other one knows nothing of.
        """
        registry = Registry.open(self._path)
        try:
            if not registry.serve():
                folder = printable(str(self._path.parent))
                raise RegistryError(
                    f"another Proxy works with the state folder {folder}; end that one first, or give this one a "
                    "folder of its own by --state"
                )
            self.snapshot = registry.snapshot()
            self._loaded = (registry.data_version(), registry.generation)
        except RegistryError:
            registry.close()
            raise
        self._registry = registry
        self._threads.start()
        self._reactor.callLater(0, self._tell_heard)
        super().startService()  # type: ignore[no-untyped-call]
        self._poll.start(limits.REGISTRY_POLL_SECONDS, now=False)

    def stopService(self) -> "Deferred[None]":
        """Finish what waits in the thread, then close the registry."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._registry is None:
            return succeed(None)  # it never started
        self._poll.stop()
        closed = self._in_thread(self._registry.close)
        self._registry = None

        def stop_threads(result: T) -> T:
            self._threads.stop()
            return result

        return closed.addBoth(stop_threads)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        """Call a method of ``registry`` in the registry's thread, after those that wait there.

        When the Deferred fires, ``snapshot`` shows the change. It fails with what the method raised. However many
        calls wait there, the registry is read once after them.
        """
        if self._registry is None:
            return fail(_closed())
        call = _Call(partial(function, *args, **kwargs))
        self._waiting.append(call)
        # each asks for a turn of the thread: the first turn runs all that wait, the others find nothing
        self._in_thread(self._run_waiting).addCallback(self._deliver)
        return call.answer

    @property
    def registry(self) -> Registry:
        """The open registry, for ``run`` only: ``watch.run(watch.registry.activate, digest)``."""
        if self._registry is None:
            raise _closed()
        return self._registry

    def _in_thread(self, function: Callable[..., T], *args: object) -> "Deferred[T]":
        return cast("Deferred[T]", deferToThreadPool(self._reactor, self._threads, function, *args))

    def _run_waiting(self) -> "tuple[list[_Call], Snapshot | None]":
        """In the thread: what waits there now, then the registry anew."""
        done = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for call in done:
            try:
                if self._registry is not None:
                    self._registry.follow()
                call.result = call.function()
            except BaseException:
                call.result = Failure()
        try:
            return done, self._load_changes() if done else None
        except RegistryError:
            return done, None  # the calls themselves are done; the next look tells what is wrong

    def _load_changes(self) -> Snapshot | None:
        """In the thread: the registry anew if anything changed since the last time."""
        registry = self._registry
        if registry is None:
            return None  # stopService has just been called
        registry.follow()
        # the version is asked first: a change after it is found by the next look
        now = (registry.data_version(), registry.generation)
        if now == self._loaded:
            return None
        snapshot = registry.snapshot()
        self._loaded = now
        return snapshot

    def _deliver(self, ran: "tuple[list[_Call], Snapshot | None]") -> None:
        done, snapshot = ran
        if snapshot is not None:
            self._publish(snapshot)
        for call in done:
            call.answer.callback(call.result)

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        for changed in self._observers:
            try:
                changed(snapshot)
            except Exception:
                _log.failure("an observer of the registry failed")
        # in a later turn: a port that an observer has closed is closed by then
        self._reactor.callLater(0, self._tell_heard)

    def _tell_heard(self) -> None:
        if self._registry is not None:
            self._registry.tell_heard(self.snapshot.change)

    def _look(self) -> "Deferred[None]":
        return self._in_thread(self._load_changes).addCallbacks(self._looked, self._failed)

    def _looked(self, snapshot: Snapshot | None) -> None:
        if self._failing:
            self._failing = False
            _log.info("the registry can be read again")
        if snapshot is not None and self.running:
            self._publish(snapshot)

    def _failed(self, failure: Failure) -> None:
        if self._failing:
            return
        self._failing = True
        if failure.check(RegistryError):
            _log.error("{why}; going on with what was read before", why=failure.getErrorMessage())
        else:
            _log.failure("the registry can't be read; going on with what was read before", failure)


def _closed() -> RegistryError:
    return RegistryError("the registry is closed: the Proxy is not running")
