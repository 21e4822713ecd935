"""One connection of the link site: TLS, one HTTP/1.1 request (RFC 9112) and its answer, then the end.

Not Twisted's web server: that would take bodies of any size, write requests into a log, and need a second TLS layer.
"""

from collections.abc import Callable
from typing import Any

import h11
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy import link_pages
from socksfusion.proxy.link_download import Download
from socksfusion.proxy.link_pages import HEADERS, Answer
from socksfusion.proxy.link_site import LinkSite
from socksfusion.refusals import Refusals
from socksfusion.tunnel.carrier import GuestProtocol
from socksfusion.tunnel.tls import TLSMachine


class LinkConnection(GuestProtocol):
    """Serves one request over ``tls``, whose handshake may be done or not; ``ended`` is called once at its end."""

    def __init__(
        self, reactor: IReactorTime, tls: TLSMachine, site: LinkSite, refusals: Refusals, ended: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._site = site
        self._refusals = refusals
        self._ended = ended
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.LINK_REQUEST_BYTES)
        self._request: h11.Request | None = None
        self._answer: Deferred[Answer] | None = None
        self._sent: Answer | None = None
        self._received = 0
        self._done = False
        self._peer = "unknown"
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """The whole request has its time, not each byte of it (attacks.md, row A1)."""
        transport: Any = self.transport
        address = transport.getPeer()
        self._peer = f"{address.host}:{address.port}"
        self._expect(limits.LINK_REQUEST_SECONDS, "no request came in time")

    def dataReceived(self, data: bytes) -> None:
        """Ciphertext."""
        self._received += len(data)
        if self._received > 2 * limits.LINK_REQUEST_BYTES:
            self._refuse("it sends more than any request needs")
            return
        pieces = self._tls.receive_data(data)
        self._flush()
        self.take(pieces)
        if self._tls.failure is not None:
            self._refuse(f"TLS: {self._tls.failure}")
        elif self._tls.close_received and not self._done:
            self._abort()

    def take(self, pieces: list[bytes]) -> None:
        """Plaintext."""
        if self._request is not None and self._answer is not None:
            return  # it has asked once, and gets one answer
        try:
            for piece in pieces:
                self._http.receive_data(piece)
            self._read()
        except h11.RemoteProtocolError as error:
            self._refusals.refuse("link-request", self._peer, "no good HTTP request")
            self._send(link_pages.trouble(error.error_status_hint, "This is no request that the site knows."))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._done = True
        self._cancel_deadline()
        if self._answer is not None:
            self._answer.cancel()
        if self._sent is not None:
            self._sent.drop()
        self._ended()

    def _read(self) -> None:
        while self._answer is None and not self._done:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request = event
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                self._cancel_deadline()
                self._answer = self._site.answer(self._request.method, self._request.target, self._peer)
                self._answer.addCallback(self._send).addErrback(self._stop)
            elif not isinstance(event, h11.Data):
                return

    def _send(self, answer: Answer) -> None:
        if self._done:
            answer.drop()
            return
        self._done = True
        headers = [("Content-Type", answer.content_type), *HEADERS, *answer.headers]
        headers += [("Content-Length", str(answer.length)), ("Connection", "close")]
        http = self._http
        data = http.send(h11.Response(status_code=answer.status, headers=headers))
        if self._request is None or self._request.method != b"HEAD":
            data = (data or b"") + (http.send(h11.Data(data=answer.body)) or b"")
        self._send_piece(data or b"")
        if answer.file is None:
            self._finish()
            return
        self._sent = answer
        download = Download(
            answer.file, lambda piece: self._send_piece(http.send(h11.Data(data=piece)) or b""), self._finish
        )
        self.transport.registerProducer(download, False)  # type: ignore[union-attr]

    def _send_piece(self, data: bytes) -> None:
        self._tls.send(data)
        self._flush()
        # a bundle on a slow line takes minutes: it is progress that is asked for
        self._expect(limits.LINK_SENDING_SECONDS, "it takes too long to take the answer")

    def _finish(self) -> None:
        transport: Any = self.transport
        if self._sent is not None:
            transport.unregisterProducer()
        self._tls.close()
        self._flush()
        transport.loseConnection()

    def _stop(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._refuse("the answer could not be sent")

    def _flush(self) -> None:
        data = self._tls.data_to_send()
        if data:
            self.transport.write(data)  # type: ignore[union-attr]

    def _expect(self, seconds: float, why: str) -> None:
        self._cancel_deadline()
        self._deadline = self._reactor.callLater(seconds, self._refuse, why)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _refuse(self, why: str) -> None:
        self._refusals.refuse("link-request", self._peer, why)
        self._abort()

    def _abort(self) -> None:
        self._done = True
        self._cancel_deadline()
        self.transport.abortConnection()  # type: ignore[union-attr]
