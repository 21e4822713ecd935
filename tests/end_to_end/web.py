"""A web server behind the Agent that shows what it was asked, curl, and a certificate for TLS in front of the Proxy."""

import datetime
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is missing")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        shown = {"line": self.requestline, "headers": self.headers.items(), "body": body.decode("latin-1")}
        self._answer(json.dumps(shown).encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(204 if self.path == "/204" else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        elif self.path == "/to-the-end":
            self.close_connection = True
        elif self.path == "/cut":
            self.send_header("Content-Length", str(len(content) + 1))
            self.close_connection = True
        elif self.path != "/204":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD" and self.path != "/204":
            self.wfile.write(content)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = _serve

    def log_message(self, format: str, *arguments: object) -> None: ...


@contextmanager
def web_server() -> Iterator[str]:
    """A server on loopback; ``host:port``. It answers with the request that it read, as JSON."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def curl(*arguments: str, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run curl, without the environment's own proxies and with a limit of time."""
    command = [str(CURL), "--silent", "--show-error", "--noproxy", "", "--max-time", "30", *arguments]
    return subprocess.run(command, input=text, capture_output=True, timeout=40, check=False, env={})


def fetched(*arguments: str, text: bytes | None = None) -> dict[str, object]:
    """What the server saw of a request of curl's that succeeded."""
    done = curl("--fail", *arguments, text=text)
    assert done.returncode == 0, (arguments, done.stderr)
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "clients.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
