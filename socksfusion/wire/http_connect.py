"""The client's side of HTTP's CONNECT up to its answer (RFC 9110, sections 9.3.6 and 11.7), sans-IO, over h11.

Old and odd proxies are taken as they are: answers in HTTP/1.0, a body with the refusal, ``Proxy-Connection``.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import h11

from socksfusion import limits

# a quote that is not ended reaches to the end: nothing is ever read twice, however hostile the field
_LIST_ITEM: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\]|\\$)*+"?)++')
_HUNG_UP: Final = "it closed the connection without an answer"
_SCHEME: Final = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s+(.*?))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that the proxy offers."""

    scheme: str
    """In lower case: ``basic``, ``ntlm``, ``negotiate`` and others."""
    token: str
    """What stands behind it up to the next comma: a token in base64, a first parameter, or nothing."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The proxy has connected; what follows is the target's."""


@dataclass(frozen=True, slots=True)
class LoginWanted:
    """Answer 407, read as far as it is needed."""

    challenges: tuple[Challenge, ...]
    """In the proxy's order."""
    reusable: bool
    """Whether the next request may go on this connection; if not, a new one must be made."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Any other answer; the proxy does not connect."""

    status: int
    """The status code, 300 to 599."""
    reason: str
    """The text beside it, as it came."""


@dataclass(frozen=True, slots=True)
class ProxyFailed:
    """What answers is no HTTP proxy, or it hung up."""

    why: str
    """How, in words."""


Event: TypeAlias = Opened | LoginWanted | Refused | ProxyFailed


class ConnectClient:
    """One connection to an HTTP proxy, which is asked to connect to ``host`` and ``port``, once or several times.

    Driven by two sources: the caller who asks (:meth:`ask`, after the construction and after a reusable
    :class:`LoginWanted`), and the network (:meth:`receive_data`, :meth:`receive_end`). After each, :meth:`data_to_send`
    has what must go to the proxy.
    """

    def __init__(self, host: str, port: int, program: str) -> None:
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._program = program
        self._to_send = b""
        self._http = h11.Connection(h11.CLIENT)
        self._wanted: LoginWanted | None = None
        self._body = 0
        self._ended = False

    def ask(self, authorization: str | None = None) -> None:
        """Send a request; ``authorization`` is the value of its Proxy-Authorization field."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.OUTBOUND_HEAD_BYTES)
        self._wanted, self._body = None, 0
        headers = [("Host", self._target), ("User-Agent", self._program), ("Proxy-Connection", "keep-alive")]
        if authorization is not None:
            headers.append(("Proxy-Authorization", authorization))
        request = h11.Request(method="CONNECT", target=self._target, headers=headers)
        for event in (request, h11.EndOfMessage()):
            self._to_send += self._http.send(event) or b""

    def data_to_send(self) -> bytes:
        """What the proxy must be sent now; each byte is given once."""
        data, self._to_send = self._to_send, b""
        return data

    def receive_data(self, data: bytes) -> Event | None:
        """Take what came; never raises."""
        if data:
            self._http.receive_data(data)
        return self._read()

    def receive_end(self) -> Event:
        """The proxy closed the connection."""
        self._ended = True
        self._http.receive_data(b"")
        return self._read() or ProxyFailed(_HUNG_UP)

    @property
    def rest(self) -> bytes:
        """What came behind the answer that opened."""
        return self._http.trailing_data[0]

    def _read(self) -> Event | None:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._ended:
                    return ProxyFailed(_HUNG_UP)
                return ProxyFailed(f"what answers is no HTTP proxy ({error})")
            match event:
                case h11.Response():
                    answer = self._answered(event)
                    if answer is not None:
                        return answer
                case h11.Data(data=data):
                    self._body += len(data)
                    if self._wanted is not None and self._body > limits.OUTBOUND_BODY_BYTES:
                        return LoginWanted(self._wanted.challenges, reusable=False)
                case h11.EndOfMessage() if self._wanted is not None:
                    clean = not self._ended and not self._http.trailing_data[0]
                    return self._wanted if clean else LoginWanted(self._wanted.challenges, reusable=False)
                case h11.ConnectionClosed():
                    return ProxyFailed(_HUNG_UP)
                case h11.InformationalResponse():
                    continue
                case _:  # NEED_DATA, PAUSED
                    return None

    def _answered(self, response: h11.Response) -> Event | None:
        status = response.status_code
        if 200 <= status < 300:
            return Opened()
        if status != 407:
            return Refused(status, response.reason.decode("ascii", "backslashreplace"))
        self._wanted = LoginWanted(_challenges(response), _keeps_alive(response))
        # a connection that is over after this answer need not be read to its end
        return None if self._wanted.reusable else self._wanted


def _challenges(response: h11.Response) -> tuple[Challenge, ...]:
    """RFC 9110, section 11.6.1: a list in one field or several, in which parameters are separated by commas too."""
    found = []
    for value in _values(response, b"proxy-authenticate"):
        for item in _LIST_ITEM.findall(value):
            matched = _SCHEME.fullmatch(item)
            if matched is not None:
                found.append(Challenge(matched[1].lower(), matched[2] or ""))
    return tuple(found)


def _keeps_alive(response: h11.Response) -> bool:
    said = {
        word.strip().lower()
        for name in (b"connection", b"proxy-connection")
        for value in _values(response, name)
        for word in value.split(",")
    }
    return "close" not in said if response.http_version >= b"1.1" else "keep-alive" in said


def _values(response: h11.Response, name: bytes) -> list[str]:
    return [value.decode("latin-1") for field, value in response.headers if field == name]
