"""Proxies that a network lets its machines out through: Debian's squid and tinyproxy, and one that knows NTLM."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.outbound.server_side import Acceptor
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Program, free_port, wait_until

USER, PASSWORD = "alice", "p@ss% word"
ELSEWHERE = "proxy.test"
"""A name of this machine that only squid knows: whoever reaches it went through it."""
HELPERS = Path("/usr/lib/squid")
SQUID = """\
http_port 127.0.0.1:{port}
pid_filename none
visible_hostname squid.test
hosts_file {folder}/hosts
cache deny all
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
coredump_dir {folder}
shutdown_lifetime 0 seconds
{login}
http_access allow all
"""
BASIC = """\
auth_param basic program {helpers}/basic_ncsa_auth {folder}/passwords
auth_param basic children 1
acl known proxy_auth REQUIRED
http_access deny !known
"""
NTLM = """\
auth_param ntlm program {helpers}/ntlm_fake_auth
auth_param ntlm children 1
acl known proxy_auth REQUIRED
http_access deny !known
"""
TINYPROXY = """\
Port {port}
Listen 127.0.0.1
Timeout 60
LogLevel Connect
BasicAuth {user} {password}
"""


def needs(*tools: str) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [tool for tool in tools if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


class Squid:
    """A running squid; ``login`` is what its configuration says about logins, empty for none."""

    def __init__(self, folder: Path, login: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True)
        (folder / "passwords").write_text(f"{USER}:{hashed.stdout}")
        (folder / "hosts").write_text(f"127.0.0.1 localhost {ELSEWHERE}\n")
        told = login.format(helpers=HELPERS, folder=folder)
        (folder / "squid.conf").write_text(SQUID.format(port=self.port, folder=folder, login=told))
        self.program = Program(["/usr/sbin/squid", "-N", "-f", str(folder / "squid.conf")], cwd=folder)
        wait_until(lambda: listens(self.port), lambda: (folder / "cache.log").read_text())

    def passed(self) -> list[list[str]]:
        """(result and status, target, user) of each CONNECT that is over."""
        lines = [line.split() for line in (self.folder / "access.log").read_text().splitlines()]
        return [[line[3], line[6], line[7]] for line in lines if line[5] == "CONNECT"]


@contextmanager
def squid(login: str = "") -> Iterator[Squid]:
    needs("squid", "openssl")
    folder = Path(tempfile.mkdtemp(prefix="squid-"))
    if os.geteuid() == 0:
        # it gives up root's rights, and pytest's folders are closed to others
        shutil.chown(folder, "proxy")
    made = Squid(folder, login)
    try:
        yield made
    finally:
        made.program.stop()
        shutil.rmtree(folder)


@contextmanager
def tinyproxy(folder: Path) -> Iterator[tuple[int, Program]]:
    needs("tinyproxy")
    port = free_port()
    (folder / "tinyproxy.conf").write_text(TINYPROXY.format(port=port, user=USER, password="plain-secret"))
    program = Program(["tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf")], cwd=folder)
    try:
        wait_until(lambda: listens(port), lambda: (program.out, program.log))
        yield port, program
    finally:
        program.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class LoginProxy:
    """An HTTP proxy that checks NTLM or Negotiate by pyspnego's acceptor, on every connection anew.

    With ``closes`` it hangs up after the first request of a login, as many do.
    """

    def __init__(self, scheme: str, *, closes: bool = False) -> None:
        self.scheme = scheme
        self.closes = closes
        self.requests: list[str] = []
        self.opened: list[str] = []
        self._target = Target(self._serve)
        self.port = self._target.port

    def __enter__(self) -> "LoginProxy":
        return self

    def __exit__(self, *exception: object) -> None:
        self._target.__exit__()

    def _serve(self, client: socket.socket) -> None:
        acceptor = Acceptor(self.scheme)
        while head := _read_head(client):
            self.requests.append(head.split("\r\n")[0])
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            authorization = fields.get("Proxy-Authorization")
            challenge = acceptor.answer(authorization)
            if challenge is None:
                self._pass_on(client, head.split()[1])
                return
            close = self.closes and authorization is None
            ends = "Connection: close\r\n" if close else ""
            client.sendall(
                f"HTTP/1.1 407 Who\r\nProxy-Authenticate: {challenge}\r\nContent-Length: 4\r\n{ends}\r\npage".encode()
            )
            if close:
                return

    def _pass_on(self, client: socket.socket, where: str) -> None:
        host, port = where.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as server:
            self.opened.append(where)
            client.sendall(b"HTTP/1.0 200 OK\r\nVia: 1.0 test\r\n\r\n")
            up = threading.Thread(target=_pump, args=(client, server), daemon=True)
            up.start()
            _pump(server, client)
            up.join()


def _read_head(client: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = client.recv(1)
        if not data:
            return ""
        head += data
    return head.decode()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
