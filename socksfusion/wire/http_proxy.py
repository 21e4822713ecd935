"""The server's side of an HTTP proxy connection up to its reply: CONNECT and plain requests, sans-IO.

One request a connection: nothing that a Client sends behind it can be taken for another, nor be answered with another's
reply. The login is that of Proxy-Authorization alone (RFC 9110, section 11.7.2).
"""

import base64
import binascii

import h11

from socksfusion import limits
from socksfusion.wire import http_head, http_replies
from socksfusion.wire.http_forward import Exchange
from socksfusion.wire.http_head import HeadError, HeadScanner, Target
from socksfusion.wire.socks5 import Address, Command, Reply
from socksfusion.wire.way_in import Event, Failure, LoginReceived, RequestReceived, WayIn

_SSH_BANNER = b"SSH-"
_LOG_IN = "log in with the user name AGENT or CLIENT@AGENT and its token as password"


class ServerConnection(WayIn):
    """One Client's request. ``login_required``: without a login it is answered 407."""

    def __init__(self, *, login_required: bool = False) -> None:
        super().__init__()
        self._login_required = login_required
        self._scanner = HeadScanner()
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD_BYTES)
        self._request: h11.Request | None = None
        self._address: Address | None = None
        self._target: Target | None = None

    def exchange(self) -> Exchange | None:
        """A plain request's exchange with its Target, once that was reached; None for a CONNECT."""
        if self._target is None or self._request is None:
            return None
        return Exchange(self._h11, self._request, self._target)

    def reply(self, code: Reply, host: str = "", port: int = 0, detail: str = "") -> None:
        """An error, or that a CONNECT was served; a plain request gets its Target's reply instead of that."""
        if code != Reply.SUCCEEDED:
            self._to_send += http_replies.refused(code, self._where(), detail, body=self._wants_body)
        elif self._target is None:
            self._to_send += http_replies.ESTABLISHED

    def want_login(self) -> None:
        """Answer the request with 407: which agent is meant can't be told without a login."""
        self._to_send += http_replies.login_wanted(_LOG_IN, body=self._wants_body)

    def _login_answer(self, accepted: bool) -> bytes:
        if accepted:
            return b""
        return http_replies.login_wanted(f"wrong user name or password: {_LOG_IN}", body=self._wants_body)

    @property
    def _wants_body(self) -> bool:
        return self._request is None or self._request.method != b"HEAD"

    def _where(self) -> str:
        assert self._address is not None
        host, port = self._address.host, self._address.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _next(self) -> Event | None:
        if self._request is not None:
            return self._requested()
        try:
            return self._read_head()
        except HeadError as error:
            answer = http_replies.error(error.status, error.why, body=self._wants_body)
            raise Failure(error.rule, error.why, answer) from None

    def _read_head(self) -> Event | None:
        buffer = self._buffer
        if buffer.startswith(_SSH_BANNER):
            raise Failure("client-protocol", "looks like an SSH banner; this port serves SOCKS and HTTP")
        end = self._scanner.end(buffer)
        if end is None:
            return None
        self._request = request = http_head.parse(self._h11, buffer[:end])
        self._buffer = buffer[end:]
        if request.method == b"CONNECT":
            if http_head.values(request, b"content-length") not in ([], [b"0"]) or http_head.values(
                request, b"transfer-encoding"
            ):
                raise HeadError(400, "http-framing", "a CONNECT with a body")
            self._address = http_head.connect_target(request.target)
        elif request.target.startswith(b"/") or request.target == b"*":
            self._no_web_site(request)
        else:
            self._target = http_head.forward_target(request)
            self._address = self._target.address
        login = self._login(request)
        return login if login is not None else self._requested()

    def _requested(self) -> RequestReceived:
        assert self._address is not None
        assert self._request is not None
        upgrades = b",".join(http_head.values(self._request, b"upgrade")).lower()
        if self._target is not None and b"websocket" in upgrades:
            why = "a WebSocket through this proxy needs CONNECT"
            raise Failure("http-upgrade", why, http_replies.error(501, why))
        return RequestReceived(Command.CONNECT, self._address)

    def _login(self, request: h11.Request) -> LoginReceived | None:
        """RFC 7617. Two logins may disagree about who this is: such a request has none."""
        given = http_head.values(request, b"proxy-authorization")
        if not given:
            if self._login_required:
                raise self._no_login("http-login", f"no login: {_LOG_IN}")
            return None
        if len(given) > 1:
            raise self._no_login("http-login", f"{len(given)} headers Proxy-Authorization: {_LOG_IN}")
        scheme, _, encoded = given[0].partition(b" ")
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            colon = b""
        if scheme.lower() != b"basic" or not colon:
            raise self._no_login("http-login", f"no Basic login: {_LOG_IN}")
        return LoginReceived(user, password)

    def _no_login(self, rule: str, why: str) -> Failure:
        return Failure(rule, why, http_replies.login_wanted(why, body=self._wants_body))

    def _no_web_site(self, request: h11.Request) -> None:
        (host,) = http_head.values(request, b"host") or [b"this port"]
        page = http_replies.what_this_is(host.decode("ascii", "replace"), body=self._wants_body)
        raise Failure("http-origin", "asks this port for a page, as if it were a web site", page)
