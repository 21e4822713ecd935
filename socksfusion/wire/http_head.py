"""The head of one HTTP request to a proxy (RFC 9112), read so that nobody behind us could read it in another way.

h11 parses; what it forgives (bare line feeds, folded lines, a length told twice) is refused here before.
"""

import ipaddress
import re
from typing import Final, NamedTuple

import h11

from socksfusion import limits
from socksfusion.wire.socks5 import Address, address_of

_VERSIONS: Final = (b"1.0", b"1.1")
# RFC 3986, section 3.2.2, without percent-encoding: no name that a resolver knows has any
_NAME: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=-]+")
_PORT: Final = re.compile(rb"[0-9]{1,5}")
_HTTP_PORT: Final = 80
_QUOTED: Final = re.compile(r"[:\s]+(?:bytearray\()?b['\"]")


class HeadError(Exception):
    """A head that is not served: the status to answer with, a rule for the log, and why, for people."""

    def __init__(self, status: int, rule: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.rule = rule
        self.why = why


class Target(NamedTuple):
    """What a plain request through the proxy asks for: ``http://authority`` and the rest."""

    address: Address
    authority: bytes
    """For the Host header."""
    origin_form: bytes
    """What the Target reads (RFC 9112, section 3.2.1); ``*`` for OPTIONS of the whole server."""


class HeadScanner:
    """Finds the end of a head as its bytes come, and in it what is refused whatever it means."""

    def __init__(self) -> None:
        self._line_starts = 0
        self._looked_at = 0

    def end(self, buffer: bytes) -> int | None:
        """Where the head in ``buffer``, which only ever grows, ends; None while it is not whole.

        Raises ``HeadError``: 431 for more than ``limits.HTTP_HEAD_BYTES``, else 400.
        """
        while (feed := buffer.find(b"\n", self._looked_at, limits.HTTP_HEAD_BYTES)) >= 0:
            line = buffer[self._line_starts : feed]
            if not line.endswith(b"\r"):
                raise _broken("a line ends in a bare line feed")
            if line == b"\r":
                return feed + 1
            if b"\r" in line[:-1] or b"\0" in line:
                raise _broken("a line holds a carriage return or a NUL")
            if line[:1] in (b" ", b"\t"):
                raise _broken("a header is folded over two lines")
            self._line_starts = self._looked_at = feed + 1
        if len(buffer) >= limits.HTTP_HEAD_BYTES:
            raise HeadError(431, "http-long", f"a head of more than {limits.HTTP_HEAD_BYTES} bytes")
        self._looked_at = len(buffer)
        return None


def parse(connection: h11.Connection, head: bytes) -> h11.Request:
    """The request whose whole ``head`` was found, read by ``connection`` (in the server's role).

    Raises ``HeadError``.
    """
    _check_framing(head)
    connection.receive_data(head)
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise HeadError(error.error_status_hint, "http-head", without_bytes(error)) from None
    assert isinstance(request, h11.Request)
    if request.http_version not in _VERSIONS:
        raise HeadError(505, "http-version", f"HTTP version {request.http_version.decode()} is not served")
    return request


def without_bytes(error: h11.ProtocolError) -> str:
    """What h11 says, without the bytes that it quotes: they may hold a password."""
    return _QUOTED.split(str(error), maxsplit=1)[0]


def values(request: h11.Request, name: bytes) -> list[bytes]:
    """The values of the headers ``name`` (in lower case), as they came."""
    return [value for header, value in request.headers if header == name]


def connect_target(target: bytes) -> Address:
    """``host:port`` of a CONNECT (RFC 9112, section 3.2.3). Raises ``HeadError``."""
    host, port = _split_authority(target)
    if port is None:
        raise _bad_target("CONNECT wants host:port")
    return _address(host, port)


def forward_target(request: h11.Request) -> Target:
    """What ``GET http://host/path`` and its like ask for (RFC 9112, section 3.2.2). Raises ``HeadError``."""
    scheme, _, rest = request.target.partition(b"://")
    if scheme.lower() != b"http":
        raise _bad_target("a proxied request names http://host/path; for anything else use CONNECT")
    cut = next((at for at, byte in enumerate(rest) if byte in b"/?#"), len(rest))
    authority, path = rest[:cut], rest[cut:]
    if b"#" in path:
        raise _bad_target("a fragment (#) is nothing that a server may see")
    if not path.startswith(b"/"):
        path = b"*" if not path and request.method == b"OPTIONS" else b"/" + path
    host, port = _split_authority(authority)
    return Target(_address(host, _HTTP_PORT if port is None else port), authority, path)


def _check_framing(head: bytes) -> None:
    """A body whose length is told twice may be read in two ways (RFC 9112, section 6.3): request smuggling."""
    names = [line.partition(b":")[0].strip().lower() for line in head.split(b"\r\n")[1:]]
    lengths, encodings = names.count(b"content-length"), names.count(b"transfer-encoding")
    if lengths + encodings > 1:
        raise HeadError(400, "http-framing", "the length of the body is told more than once")
    if encodings and b" HTTP/1.0\r\n" in head[: head.index(b"\n") + 1]:
        raise HeadError(400, "http-framing", "Transfer-Encoding in a request of HTTP/1.0")


def _split_authority(authority: bytes) -> tuple[bytes, bytes | None]:
    """Host, in brackets where it is IPv6, and the port's digits."""
    if b"@" in authority:
        raise _bad_target("user name or password in the address: they belong into a header")
    host, colon, port = authority.rpartition(b":")
    if not colon or port.endswith(b"]"):
        return authority, None
    return host, port or None


def _address(host: bytes, port: bytes | int) -> Address:
    if isinstance(port, bytes):
        if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
            raise _bad_target("the port is a number up to 65535")
        port = int(port)
    if host.startswith(b"[") and host.endswith(b"]"):
        try:
            literal = ipaddress.IPv6Address(host[1:-1].decode("ascii"))
        except ValueError:
            raise _bad_target("what stands in brackets is no IPv6 address") from None
        if literal.scope_id is not None:
            raise _bad_target("an IPv6 zone means something on this machine only")
        return address_of(str(literal), port)
    if not host:
        raise _bad_target("empty host name")
    if len(host) > limits.HOST_NAME_BYTES:
        raise _bad_target(f"host name of {len(host)} bytes")
    if not _NAME.fullmatch(host):
        raise _bad_target("host name with other characters than names have")
    return address_of(host.decode("ascii"), port)


def _broken(why: str) -> HeadError:
    return HeadError(400, "http-head", why)


def _bad_target(why: str) -> HeadError:
    return HeadError(400, "http-target", why)
