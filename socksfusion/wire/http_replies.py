"""What an HTTP client reads of us: success, errors in one line each, and the page for a browser that came by mistake.

Every answer ends its connection. Text from outside is in plain text only, or escaped; a page may load and run nothing.
"""

from html import escape
from typing import Final

from socksfusion.wire.socks5 import Reply

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
_STATUSES: Final = {Reply.NOT_ALLOWED: 403, Reply.TTL_EXPIRED: 504}
_TELLS: Final = {
    Reply.GENERAL_FAILURE: "{where} was not tested, which says nothing about it: try again",
    Reply.NOT_ALLOWED: "{where} is denied by a policy: ask the admin of the agent, or of the proxy",
    Reply.NETWORK_UNREACHABLE: "the network of {where} is unreachable for the agent",
    Reply.HOST_UNREACHABLE: "{where} is unreachable for the agent, or its name was not found: check the name",
    Reply.REFUSED: "{where} refused the connection: the port is closed",
    Reply.TTL_EXPIRED: "{where} gave no answer in time: it is filtered, or far away",
}
# RFC 9209, section 2.3: 502 alone would make a closed port and one that was not tested look alike
_ERRORS: Final = {
    Reply.GENERAL_FAILURE: "proxy_internal_error",
    Reply.NOT_ALLOWED: "destination_ip_prohibited",
    Reply.NETWORK_UNREACHABLE: "destination_ip_unroutable",
    Reply.HOST_UNREACHABLE: "destination_unavailable",
    Reply.REFUSED: "connection_refused",
    Reply.TTL_EXPIRED: "connection_timeout",
}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>SocksFusion</title></head><body>
<h1>This is a proxy, not a web site</h1>
<p>This port belongs to SocksFusion. It serves SOCKS5, SOCKS4, SOCKS4a and HTTP proxy clients, whose connections an
agent in another network makes.</p>
<p>Set it as the proxy of your tool, for example:</p>
<pre>curl --proxy socks5h://{host} http://intranet.example/
curl --proxy http://{host} http://intranet.example/</pre>
</body></html>
"""


def error(status: int, line: str, *, body: bool = True, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """An error as one line of plain text; without its ``body`` for a request that wants none (HEAD)."""
    return _answer(status, "text/plain; charset=utf-8", f"{status} {_REASONS[status]}: {line}\n", body, headers)


def refused(code: Reply, where: str, detail: str, *, body: bool = True) -> bytes:
    """That the connection to ``where`` could not be opened: ``code`` in words, with ``detail`` from whoever tried."""
    line = _TELLS.get(code, _TELLS[Reply.GENERAL_FAILURE]).format(where=where)
    if detail:
        line = f"{line} ({detail})"
    name = _ERRORS.get(code, _ERRORS[Reply.GENERAL_FAILURE])
    status = ("Proxy-Status", f"SocksFusion; error={name}")
    return error(_STATUSES.get(code, 502), f"{line}. SOCKS reply {code:#04x}", body=body, headers=(status,))


def login_wanted(line: str, *, body: bool = True) -> bytes:
    """That a login is missing or wrong (RFC 9110, section 11.7.1; RFC 7617)."""
    challenge = ("Proxy-Authenticate", 'Basic realm="SocksFusion", charset="UTF-8"')
    return error(407, line, body=body, headers=(challenge,))


def what_this_is(host: str, *, body: bool = True) -> bytes:
    """The page for who takes this port for a web site; ``host`` is what he calls it."""
    return _answer(400, "text/html; charset=utf-8", _PAGE.format(host=escape(host)), body, ())


def _answer(status: int, kind: str, text: str, body: bool, headers: tuple[tuple[str, str], ...]) -> bytes:
    content = text.encode("utf-8", "backslashreplace")
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        *(f"{name}: {value}" for name, value in headers),
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (content if body else b"")
