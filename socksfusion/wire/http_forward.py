"""A plain HTTP request and its reply on their way through the Proxy, sans-IO: read and framed anew in both directions.

The Target sees the request as the Client would have sent it to it, over a connection of its own that ends with the
reply. No ``Via`` is added (RFC 9110, section 7.6.3): what a Target answers must not depend on us.
"""

from typing import Final

import h11

from socksfusion import limits
from socksfusion.wire.http_head import Target, without_bytes

_Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"http2-settings",
    )
)
"""RFC 9110, section 7.6.1, and those that concern proxies. ``Transfer-Encoding`` stays: it tells h11 the framing."""
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
_CLOSE: Final = (b"Connection", b"close")


class ExchangeFailed(Exception):
    """An exchange that can't go on; the text says why, for people.

    ``clients_fault``: the Client's bytes were no HTTP; else the Target's.
    """

    def __init__(self, why: str, *, clients_fault: bool) -> None:
        super().__init__(why)
        self.clients_fault = clients_fault


class Exchange:
    """One request with its reply, from the head of the one to the end of the other.

    Driven by two sources: the Client's bytes (:meth:`client_data`) and the Target's (:meth:`target_data`), each with
    ``b""`` for the end. Both raise ``ExchangeFailed``, after which nothing more is to be fed. What must go out then is
    in :meth:`to_target` and :meth:`to_client`.
    """

    def __init__(self, client: h11.Connection, request: h11.Request, target: Target) -> None:
        """``client`` has read ``request``, which asks for ``target``."""
        self.request_done = False
        """The Client has sent its whole request."""
        self.reply_begun = False
        """The Client has been sent some of the reply."""
        self.reply_done = False
        """It has been sent all of it."""
        self._client = client
        self._target = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.HTTP_REPLY_HEAD_BYTES)
        self._old_client = request.http_version == b"1.0"
        self._to_client = bytearray()
        self._to_target = bytearray()
        headers = [header for header in _end_to_end(request) if not self._is_for_us(header)]
        self._send_to_target(
            h11.Request(
                method=request.method,
                target=target.origin_form,
                headers=[(b"Host", target.authority), *headers, _CLOSE],
            )
        )
        self._read_request()

    def to_client(self) -> bytes:
        """What the Client must be sent now; each byte is given once."""
        data = bytes(self._to_client)
        self._to_client.clear()
        return data

    def to_target(self) -> bytes:
        """The same for the Target."""
        data = bytes(self._to_target)
        self._to_target.clear()
        return data

    def client_data(self, data: bytes) -> None:
        """More of the request's body; what comes behind it is dropped, and so is its end."""
        if self.request_done:
            return
        try:
            self._client.receive_data(data)
            self._read_request()
        except h11.ProtocolError as error:
            raise ExchangeFailed(f"the request's body is broken: {without_bytes(error)}", clients_fault=True) from None

    def target_data(self, data: bytes) -> None:
        """More of the reply."""
        if self.reply_done:
            return
        if not data and not self.reply_begun:
            raise ExchangeFailed("the target closed the connection without a reply", clients_fault=False)
        try:
            self._target.receive_data(data)
            while not self.reply_done:
                event = self._target.next_event()
                if isinstance(event, h11.InformationalResponse):
                    self._pass_interim(event)
                elif isinstance(event, h11.Response):
                    self._pass_head(event)
                elif isinstance(event, h11.Data):
                    self._send_to_client(h11.Data(data=event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._send_to_client(h11.EndOfMessage())
                    self.reply_done = True
                else:
                    break
        except h11.ProtocolError as error:
            why = f"the target's reply is no HTTP that could be passed on: {without_bytes(error)}"
            raise ExchangeFailed(why, clients_fault=False) from None

    def _read_request(self) -> None:
        while not self.request_done:
            event = self._client.next_event()
            if isinstance(event, h11.Data):
                self._send_to_target(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                # trailers may be discarded (RFC 9110, section 6.5.1)
                self._send_to_target(h11.EndOfMessage())
                self.request_done = True
            else:
                break

    def _pass_interim(self, event: h11.InformationalResponse) -> None:
        # HTTP/1.0 doesn't know them (RFC 9110, section 15.2)
        if not self._old_client:
            self._send_to_client(
                h11.InformationalResponse(
                    status_code=event.status_code, reason=event.reason, headers=_end_to_end(event)
                )
            )

    def _pass_head(self, event: h11.Response) -> None:
        self.reply_begun = True
        self._send_to_client(
            h11.Response(status_code=event.status_code, reason=event.reason, headers=[*_end_to_end(event), _CLOSE])
        )

    def _is_for_us(self, header: tuple[bytes, bytes]) -> bool:
        """Whether a header of the request is replaced, or means nothing from this Client."""
        name = header[0].lower()
        # the Host of a proxied request says nothing (RFC 9112, section 3.2.2)
        return name == b"host" or (self._old_client and name == b"expect")

    def _send_to_target(self, event: h11.Event) -> None:
        self._to_target += self._target.send(event) or b""

    def _send_to_client(self, event: h11.Event) -> None:
        self._to_client += self._client.send(event) or b""


def _end_to_end(message: h11.Request | h11.InformationalResponse | h11.Response) -> _Headers:
    """The headers of ``message`` that are not for the next hop alone, in their order and spelling."""
    named = {
        token.strip().lower() for name, value in message.headers if name == b"connection" for token in value.split(b",")
    } - _FRAMING
    return [
        (name, value)
        for name, value in message.headers.raw_items()
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named
    ]
