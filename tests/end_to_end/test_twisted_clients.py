"""What Twisted's people run over the client endpoint: bytes, TLS, HTTP by treq, SSH by conch; through real programs."""

import os
import pwd
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import pytest_twisted
import treq
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS

from socksfusion.client import Denied, Proxy, ProxyFailed, Refused
from socksfusion.client.web import http_agent
from tests.end_to_end import conch_client
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Installation, Program, free_port
from tests.tools.pages import PAGE, Page
from tests.tunnel.certificates import HOST, authority

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Reader(Protocol):
    """Collects what comes, until the end."""

    def __init__(self) -> None:
        self.data = b""
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.whole.callback(self.data)


def proxy_of(installation: Installation) -> Proxy:
    return Proxy(reactor, port=installation.clients_port)


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A page over TLS, under a certificate that the test's own authority gave out for 127.0.0.1."""
    issued = authority().issue_proxy([HOST, "127.0.0.1"])
    file = tmp_path_factory.mktemp("https") / "server.pem"
    file.write_bytes(issued.certificate_pem + issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with served(server):
        yield server.server_port


@contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest_twisted.ensureDeferred
async def test_bytes_both_ways_by_an_endpoint_string(serving: Installation) -> None:
    with Target(lambda connection: connection.sendall(connection.recv(100).upper())) as target:
        proxy = f"proxy=127.0.0.1\\:{serving.clients_port}"
        endpoint = clientFromString(reactor, f"socksfusion:host=localhost:port={target.port}:{proxy}")
        reader = await connectProtocol(endpoint, Reader())
        reader.transport.write(b"by a string")
        assert await reader.whole.addTimeout(30, reactor) == b"BY A STRING"


@pytest_twisted.ensureDeferred
async def test_replies_are_exceptions(serving: Installation) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Refused):
            await connectProtocol(proxy_of(serving).target(*closed.getsockname()), Reader())
    with pytest.raises(Denied):
        await connectProtocol(proxy_of(serving).target("169.254.169.254", 80), Reader())
    with pytest.raises(ProxyFailed):
        await connectProtocol(Proxy(reactor, port=free_port()).target("127.0.0.1", 80), Reader())


@pytest_twisted.ensureDeferred
async def test_tls_to_the_target(serving: Installation, https: int) -> None:
    trust = Certificate.loadPEM(authority().ca_pem)
    endpoint = proxy_of(serving).target("127.0.0.1", https)
    reader = await connectProtocol(wrapClientTLS(optionsForClientTLS("127.0.0.1", trust), endpoint), Reader())
    reader.transport.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.whole.addTimeout(30, reactor)).endswith(PAGE)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest_twisted.ensureDeferred
async def test_treq(serving: Installation, https: int, scheme: str) -> None:
    plain = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    with served(plain):
        port = https if scheme == "https" else plain.server_port
        policy = BrowserLikePolicyForHTTPS(Certificate.loadPEM(authority().ca_pem))
        client = HTTPClient(http_agent(reactor, proxy_of(serving), policy))
        response = await client.get(f"{scheme}://127.0.0.1:{port}/")
        assert response.code == 200
        assert await treq.content(response) == PAGE


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A real sshd on loopback; its port, and the folder of both keys."""
    if SSHD is None:
        pytest.skip("needs sshd")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        # sshd started by root insists on it; the service makes it at boot
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nUseDNS no\n"
    )
    server = Program([SSHD, "-D", "-e", "-f", str(folder / "config")], cwd=folder)
    try:
        server.wait_log("Server listening")
        yield port, folder
    finally:
        server.stop()


@pytest.mark.tools
@pytest_twisted.ensureDeferred
async def test_conch(serving: Installation, ssh: tuple[int, Path]) -> None:
    port, folder = ssh
    user = pwd.getpwuid(os.geteuid()).pw_name
    endpoint = proxy_of(serving).target("localhost", port)
    command = "echo through conch"
    output = await conch_client.run(endpoint, user, f"{folder}/user_key", f"{folder}/host_key", command)
    assert output == b"through conch\n"
