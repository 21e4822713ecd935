"""A logger for conch's own lines: they are many and unbounded; the manhole writes its own through ``Refusals``."""

from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer


@implementer(ILogObserver)
class _Nobody:
    def __call__(self, event: LogEvent) -> None:
        pass


QUIET = Logger(observer=_Nobody())
