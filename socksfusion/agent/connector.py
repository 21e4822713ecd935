"""The Agent's way to its Proxy: dial, be judged, serve, and come back for ever when the carrier is lost."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent import advice
from socksfusion.agent.backoff import Backoff
from socksfusion.agent.call import Call, CallFactory
from socksfusion.agent.guarded import owns_address, parse_literal
from socksfusion.agent.messages import Messages
from socksfusion.agent.outbound.errors import OutboundLoginFailed
from socksfusion.agent.ways import Way
from socksfusion.identity.copy import AgentCopy
from socksfusion.log import make_logger, printable
from socksfusion.tunnel.carrier import Carrier
from socksfusion.tunnel.liveness import Liveness
from socksfusion.wire.control_messages import PAUSE, Refused, ScanStarted
from socksfusion.wire.messages import Message

_log = make_logger()


class Connector(Service):
    """Keeps one carrier to the Proxy; a lost one is dialled again, for ever.

    ``ways`` reach the Proxy, and are tried in turn: after one that failed the next at once, and after the last of a
    round a wait. ``calls`` makes the carriers. ``leave`` maps the reasons of refusals after which there is no other try
    to what ends the program.
    """

    name = "connector"

    def __init__(
        self,
        reactor: IReactorTime,
        ways: Sequence[Way],
        calls: CallFactory,
        copy: AgentCopy,
        messages: Messages,
        liveness: Liveness,
        leave: Mapping[str, Callable[[], None]],
        *,
        backoff: Backoff,
        handshake_seconds: float = limits.HANDSHAKE_SECONDS,
    ) -> None:
        self.copy = copy
        self.call: Call | None = None
        self._reactor = reactor
        self._ways = deque(ways)
        self._failed_ways = 0
        self._calls = calls
        calls.caller = self
        self._messages = messages
        self._liveness = liveness
        self._leave = leave
        self._backoff = backoff
        self._handshake_seconds = handshake_seconds
        self.last_error = ""
        self.greeted: list[Callable[[], None]] = []
        """Called whenever the Proxy has taken this Agent in."""
        self._scans: dict[str, None] = {}
        self._dialling: Deferred[IProtocol] | None = None
        self._retry: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._hurry: IDelayedCall | None = None
        self._may_hurry = True
        self._dial_at_once = False
        self._refused: str | None = None

    @property
    def proxy(self) -> str:
        """For people: the Proxy's address in use, or the one that is dialled next."""
        return self._ways[0].proxy

    @property
    def scans(self) -> tuple[str, ...]:
        """The ids of the scans that run, as far as they were told of."""
        return tuple(self._scans)

    def tell(self, message: Message) -> None:
        """Say ``message`` of the admin's to the Proxy, where it serves and knows such messages."""
        call = self.call
        if call is not None and call.welcomed and call.control is not None and PAUSE in call.proxy_features:
            call.control.send(message)

    # -- Service ---------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Dial."""
        super().startService()  # type: ignore[no-untyped-call]
        self._dial()

    def stopService(self) -> Deferred[None] | None:
        """End the carrier in order; fires when it is gone."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._cancel(self._retry)
        self._cancel(self._hurry)
        if self._dialling is not None:
            self._dialling.cancel()
        if self.call is None:
            return None
        ended: Deferred[None] = Deferred()
        self.call.ended.append(lambda: ended.callback(None))
        self.call.carrier.end("the Agent was stopped")
        return ended

    def network_changed(self) -> None:
        """There may be a way again, or none any more: dial now instead of waiting, and see to what stands.

        A wait that a refusal has asked for is not cut short: no other network makes it wrong.
        """
        if not self.running:
            return
        self._backoff.succeeded()
        if self.call is not None and self.call.welcomed:
            carrier = self.call.carrier
            carrier.check(seconds_to_answer(carrier)).addCallback(self._checked, carrier)
        elif self.call is not None or self._dialling is not None:
            # it may go out by a way that is no more; one that still goes on is left its time
            if self._hurry is None or not self._hurry.active():
                self._hurry = self._reactor.callLater(limits.URGENT_PING_SECONDS, self._give_up)
        elif self._may_hurry and self._retry is not None and self._retry.active():
            _log.info("this machine's network has changed: dialling")
            self._retry.cancel()
            self._dial()

    def _checked(self, answered: bool, carrier: Carrier) -> None:
        if not answered and not carrier.closing:
            _log.info("this machine's network has changed, and the connection to {proxy} is dead", proxy=self.proxy)
            self._dial_at_once = True
            carrier.abort("no answer after this machine's network changed")

    def _give_up(self) -> None:
        _log.info("this machine's network has changed: dialling anew")
        if self._dialling is not None:
            self._dial_at_once = True
            self._dialling.cancel()
        elif self.call is not None and not self.call.welcomed:
            self.call.carrier.abort("no answer after this machine's network changed")

    # -- what a call tells -------------------------------------------------------------------------------------------

    def welcomed(self, call: Call, agent: str) -> None:
        """The Proxy took this Agent in."""
        self._cancel(self._deadline)
        self._cancel(self._hurry)
        self._backoff.succeeded()
        self._failed_ways = 0
        self._liveness.watch(call.carrier)
        _log.info("serving as agent {agent} at {proxy}", agent=printable(agent), proxy=self.proxy)
        for greeted in self.greeted:
            greeted()

    def refused(self, call: Call, message: Refused) -> None:
        """The Proxy did not."""
        self._refused = message.reason
        self.last_error = f"the Proxy refused this agent: {printable(message.detail or message.reason)}"
        _log.warn("{why}", why=self.last_error)
        if message.reason in ("replaced", "unknown"):
            self._messages.not_registered()
        elif message.reason == "duplicate":
            self._messages.already_connected()
        call.carrier.end("refused")

    def scan_started(self, message: ScanStarted) -> None:
        """A scan runs; one that this program has told of already is the same after a reconnection."""
        if message.scan not in self._scans:
            self._scans[message.scan] = None
            if len(self._scans) > limits.SCANS_REMEMBERED:
                del self._scans[next(iter(self._scans))]
            self._messages.scan_started()

    def scan_finished(self, scan: str) -> None:
        """A scan is over: its id won't come again."""
        self._scans.pop(scan, None)

    def lost(self, call: Call, why: str) -> None:
        """The carrier is gone: leave, or dial again after the right wait."""
        self._cancel(self._deadline)
        self._cancel(self._hurry)
        self._liveness.forget(call.carrier)
        self.call = None
        if call.carrier.tls_failure is not None:
            why = advice.tls_failed(call.carrier.tls_failure, call.carrier.tls.connection, self.copy, self.proxy)
        why = f"the connection to {self.proxy} ended: {printable(why, 1024)}"
        if self._refused is None:
            self.last_error = why
        _log.warn("{why}", why=why)
        reason, self._refused = self._refused, None
        leave = self._leave.get(reason) if reason is not None else None
        if leave is not None:
            leave()
        elif self.running:
            if reason is None and not call.welcomed:
                self._dial_next()
            elif self._dial_at_once:
                self._dial_at_once = False
                self._dial_in(0)
            else:
                self._dial_in(self._backoff.after(reason), may_hurry=reason is None)

    # -- dialling --------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._retry = None
        self._messages.connecting()
        self._calls.host = self._ways[0].host
        dialling = self._ways[0].endpoint.connect(self._calls)
        dialling.addTimeout(self._ways[0].seconds, self._reactor)
        self._dialling = dialling
        dialling.addCallbacks(self._connected, self._not_connected)

    def _connected(self, carrier: IProtocol) -> None:
        self._dialling = None
        assert isinstance(carrier, Carrier)
        if carrier.gone:
            return
        call = carrier.owner
        assert isinstance(call, Call)
        self.call = call

        def too_slow() -> None:
            carrier.abort(f"{self.proxy} did not welcome this agent within {self._handshake_seconds:g} s")

        self._deadline = self._reactor.callLater(self._handshake_seconds, too_slow)

    def _not_connected(self, failure: Failure) -> None:
        self._dialling = None
        self._cancel(self._hurry)
        if not self.running:
            return
        if self._dial_at_once:
            self._dial_at_once = False
            self._dial_in(0)
            return
        self.last_error = advice.no_connection(failure, self.proxy)
        _log.warn("{why}", why=self.last_error)
        if failure.check(OutboundLoginFailed):
            self._dial_in(self._backoff.after("outbound login"), may_hurry=False)
        else:
            self._dial_next()

    def _dial_next(self) -> None:
        """Try the next way at once; after the last one of a round, wait."""
        self._ways.rotate(-1)
        self._failed_ways += 1
        self._dial_in(0 if self._failed_ways % len(self._ways) else self._backoff.after(None))

    def _dial_in(self, seconds: float, *, may_hurry: bool = True) -> None:
        self._may_hurry = may_hurry
        _log.info("dialling again in {seconds} s", seconds=round(seconds, 1))
        self._retry = self._reactor.callLater(seconds, self._dial)

    @staticmethod
    def _cancel(call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()


def seconds_to_answer(carrier: Carrier) -> float:
    """How long ``carrier`` may take to show life after this machine's network has changed.

    One whose own address is gone can't work; another one may just have to wait for TCP's next repetition.
    """
    transport: Any = carrier.transport
    try:
        kept = owns_address(parse_literal(transport.getHost().host))
    except (OSError, ValueError):
        kept = True
    return limits.NETWORK_CHECK_SECONDS if kept else limits.URGENT_PING_SECONDS
