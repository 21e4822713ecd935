"""A short call that tells the Proxy that this Agent's admin removes it."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from socksfusion.agent.call import Call, CallFactory
from socksfusion.agent.messages import Messages
from socksfusion.agent.ways import Way
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import agent_context
from socksfusion.refusals import Refusals
from socksfusion.wire.control_messages import Refused, ScanStarted, Uninstalled
from socksfusion.wire.yamux.session import Session


class Farewell:
    """Calls the Proxy by each way in turn, until it was told or none is left (a ``Caller``).

    ``told`` fires with an empty text, or with why the Proxy could not be told.
    """

    def __init__(self, reactor: Any, ways: Sequence[Way], copy: AgentCopy, seconds: float) -> None:
        self.told: Deferred[str] = Deferred()
        self._ways = list(ways)
        self._why = ""
        refusals = Refusals(reactor.seconds)
        self._calls = CallFactory(
            reactor, ways[0].host, agent_context(copy), _session, refusals, Messages(lambda line: None), _no_targets
        )
        self._calls.caller = self
        self._deadline = reactor.callLater(seconds, self._finish, "no answer in time")

    def begin(self) -> None:
        """Dial."""
        way = self._ways.pop(0)
        self._calls.host = way.host
        way.endpoint.connect(self._calls).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self._why = failure.getErrorMessage()
        self._next()

    def _next(self) -> None:
        if self._ways and self._deadline.active():
            self.begin()
        else:
            self._finish(self._why)

    def _finish(self, why: str) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        if not self.told.called:
            self.told.callback(why)

    # -- what the call tells ---------------------------------------------------------------------------------------

    def welcomed(self, call: Call, agent: str) -> None:
        """The Proxy took this Agent in: tell it, and leave in order, which sends what was said first."""
        assert call.control is not None
        self._why = ""
        self._ways.clear()
        call.control.send(Uninstalled())
        call.carrier.end("the Agent is removed")

    def refused(self, call: Call, message: Refused) -> None:
        """It knows another Agent by this key, or none: another way leads to the same answer."""
        self._why = f"it answered: {message.detail or message.reason}"
        self._ways.clear()
        call.carrier.end("refused")

    def scan_started(self, message: ScanStarted) -> None:
        """A scan is nothing to this call."""

    def scan_finished(self, scan: str) -> None:
        """Nor is its end."""

    def lost(self, call: Call, why: str) -> None:
        """The call is over."""
        if not call.welcomed and not self._why:
            self._why = why
        self._next()


def _session(now: float) -> Session:
    return Session(client=False, now=now)


def _no_targets(peer: str) -> Any:
    raise ConnectionRefusedError("this Agent is being removed")


def say_farewell(reactor: IReactorTime, ways: Sequence[Way], copy: AgentCopy, seconds: float) -> Deferred[str]:
    """Tell the Proxy; fires with an empty text, or why that failed within ``seconds``. Never fails."""
    farewell = Farewell(reactor, ways, copy, seconds)
    farewell.begin()
    return farewell.told
