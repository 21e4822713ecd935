"""What both programs share around twistd: clock, descriptors, log, and an end that tells why.

``twistd`` itself always ends with 0 or by a signal, logs to standard output under ``-n``, and times by the wall clock.
"""

import atexit
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.application.service import MultiService, Service
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, eventAsText, formatEventAsClassicLogText
from twisted.python.usage import Options

from socksfusion import limits, posix
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.log import make_logger
from socksfusion.options import ProgramOptions, complain, install_hint, visible

_log = make_logger()

_SELECT_DESCRIPTORS = 1024  # FD_SETSIZE: select() takes no file of a higher number, and Twisted drops it


class Program(MultiService):
    """The service that a plugin's ``makeService`` returns; the program's services are its children.

    ``reactor`` is the one that twistd chose, ``options`` the parsed options, ``daemon`` whether twistd goes to the
    background.
    """

    def __init__(self, reactor: Any, options: ProgramOptions) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reactor = reactor
        self.options = options
        self._code = ExitCode.NORMAL
        self._ending = False
        self.step_aside: Callable[[], object] = lambda: None
        """Called before standard error gets the program's last words, which are no log."""
        twistd: Options | dict[str, Any] = options.parent or {}
        self.daemon = options.parent is not None and not twistd.get("nodaemon")
        self.log_output: Any = sys.stderr
        """Where the log goes unless twistd was told otherwise; may be replaced while the program is put together."""
        self.logs_elsewhere = self.daemon or any(twistd.get(name) for name in ("logfile", "logger", "syslog"))

    def setServiceParent(self, parent: Any) -> None:
        """Join the application; its log goes to standard error unless twistd was told otherwise."""
        if not self.logs_elsewhere:
            observer = json_observer if self.options["log"] == "json" else text_observer
            parent.setComponent(ILogObserver, observer(self.log_output))
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Open the listeners; an ``OperatorError`` ends the program with its exit code."""
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """Start every service; an ``OperatorError`` ends the program with its exit code."""
        self._start(super().startService)

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except OperatorError as error:
            if self.daemon:
                _log.error("{text}", text=visible(str(error)))
                raise  # twistd passes its first words on to the shell, and ends with 1
            self.end(error.exit_code, str(error))

    def stopService(self) -> "Deferred[None]":
        """Stop the services one after the other, the last first: each may rely on those before it until it is done."""
        Service.stopService(self)  # MultiService's stops all of them at once
        return Deferred.fromCoroutine(self._stop_services())

    async def _stop_services(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception:
                _log.failure("a service could not be stopped")

    def end(self, code: ExitCode, text: str = "") -> None:
        """Stop every service and end the process with ``code``; ``text`` tells the user why, in one line.

        The first call decides. May be called at any time, also before the reactor runs.
        """
        if self._ending:
            return
        self._ending = True
        self._code = code
        if text:
            self.step_aside()
            complain(self.options.program, text)
            if self.logs_elsewhere:
                _log.error("{text}", text=visible(text))
        self.reactor.callWhenRunning(self.reactor.stop)

    def exit_with_code(self) -> None:
        """As the last step of the process: end it with the code that ``end`` was given."""
        if self._code is not ExitCode.NORMAL:
            for stream in (sys.__stdout__, sys.__stderr__):
                _flush(stream)
            os._exit(self._code)


def make_program(options: ProgramOptions, build: Callable[[Program], None]) -> Program:
    """For a plugin's ``makeService``: prepare the process, and let ``build`` add the services to the program.

    An ``OperatorError`` of ``build``, or a package that is not installed, becomes one line and an exit code.
    """
    from twisted.internet import reactor  # not before twistd has installed the one that it was told to

    use_monotonic_time(reactor)
    stop_once(reactor)
    set_descriptor_limit(reactor)
    collect_garbage_rarely(reactor)
    program = Program(reactor, options)
    # registered early so that it runs late: twistd gives no other way to an exit code
    atexit.register(program.exit_with_code)
    try:
        build(program)
    except OperatorError as error:
        complain(options.program, str(error))
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        complain(options.program, f"{error}; {install_hint(options.extra)}")
        raise SystemExit(ExitCode.USAGE) from None
    return program


def use_monotonic_time(reactor: Any) -> None:
    """Let ``reactor.callLater`` count by the monotonic clock: a step of the wall clock moves no timer.

    Must come before the first timer is set (attacks.md, K1). A reactor with a clock of its own keeps it.
    """
    if isinstance(reactor, ReactorBase) and reactor.seconds is ReactorBase.seconds and not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def collect_garbage_rarely(reactor: Any) -> None:
    """Look for cycles rarely, and never among what is there since the start.

    A Proxy holds many objects for long, and Python's default of 700 new ones between two looks took an eighth of the
    CPU time of a connect (docs/performance.md).
    """
    gc.set_threshold(limits.GARBAGE_THRESHOLD, *gc.get_threshold()[1:])
    reactor.callWhenRunning(gc.freeze)


def stop_once(reactor: Any) -> None:
    """Let a signal or an end of our own do nothing while ``reactor`` stops already; Twisted would log a traceback."""
    stop = reactor.stop

    def stop_if_running() -> None:
        with suppress(ReactorNotRunning):
            stop()

    reactor.stop = stop_if_running


def set_descriptor_limit(reactor: object) -> None:
    """Raise the soft limit of open files to the hard one, or to what ``reactor`` can watch."""
    try:
        posix.raise_open_files_limit(_SELECT_DESCRIPTORS if isinstance(reactor, SelectReactor) else None)
    except (ValueError, OSError) as error:
        _log.warn("the limit of open files can't be raised: {error}", error=error)


def text_observer(out: TextIO) -> FileLogObserver:
    """A log observer that writes lines of text without control characters to ``out``."""
    return FileLogObserver(out, _format)


def json_observer(out: TextIO) -> FileLogObserver:
    """A log observer that writes a line of JSON for each event: ``time`` (UTC), ``level``, ``source``, ``text``."""
    return FileLogObserver(out, _format_json)


def _format_json(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    level = event.get("log_level")
    fields = {
        "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds"),
        "level": "info" if level is None else level.name,
        "source": str(event.get("log_namespace", "")),
        "text": text,
    }
    return json.dumps(fields) + "\n"


def _format(event: LogEvent) -> str | None:
    text = formatEventAsClassicLogText(event)
    if text is None:
        return None
    # a traceback has lines and tabs of its own
    return "".join(character if character in "\n\t" else visible(character) for character in text)


def _flush(stream: TextIO | None) -> None:
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        pass  # nobody reads it any more
