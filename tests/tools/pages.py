"""Web servers for tools to fetch from."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.end_to_end.namespaces import Namespace

PAGE = b"<html><body><p>a small page</p></body></html>\n"
TEXT = PAGE.decode()


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the same page."""

    def do_GET(self) -> None:
        self.answer(TEXT)

    def answer(self, page: str, status: int = 200) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _OverIPv6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def web_server(namespace: Namespace, handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve on all addresses of a namespace, IPv4 and IPv6; the port. ``handler`` is made for each connection."""
    with namespace.inside():
        four = http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler)
        six = _OverIPv6(("::", four.server_port), handler, bind_and_activate=False)
        six.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.server_bind()
        six.server_activate()
    for server in (four, six):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield four.server_port
    for server in (four, six):
        server.shutdown()
        server.server_close()
