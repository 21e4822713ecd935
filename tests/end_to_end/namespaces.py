"""Networks of a test's own: two namespaces joined by a cable, so that addresses exist that must not answer."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.links import wait_for_neighbour

_KEEPER = "import sys; print('ready', flush=True); sys.stdin.read()"
_CLONE_NEWNET = 0x40000000


def why_none() -> str:
    """Why no namespace can be made here; empty where it can."""
    missing = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if os.geteuid() != 0:
        return "needs root, to make a network namespace"
    command = ["unshare", "--net", "--mount", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"]
    tried = subprocess.run(command, capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no network can be made here: {tried.stderr.strip()}"


class Namespace:
    """A network namespace, with mounts of its own; ``prefix`` before a command runs it there."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", sys.executable, "-c", _KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "ready\n"
        self.pid = self._keeper.pid
        self.prefix = ("nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt", "--")
        self.run("ip link set lo up")

    def run(self, command: str) -> str:
        """Run a command there; its standard output."""
        arguments = [*self.prefix, *command.split()]
        return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout

    def bind_file(self, content: str, over: str, folder: Path) -> None:
        """Let ``content`` stand in place of the file ``over`` there."""
        file = folder / over.replace("/", "_")
        file.write_text(content)
        self.run(f"mount --bind {file} {over}")

    def setting(self, name: str, value: str) -> None:
        """Set a sysctl of the network, such as ``ipv4/tcp_syn_retries``."""
        with self.inside():
            Path("/proc/sys/net", name).write_text(value)

    def counter(self, name: str) -> int:
        """A number of the kernel's TCP statistics of this namespace (RFC 4022), such as ActiveOpens."""
        names, values = (
            line.split() for line in self.run("cat /proc/net/snmp").splitlines() if line.startswith("Tcp:")
        )
        return int(values[names.index(name)])

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes within the block belong to the namespace, and stay there."""
        with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as before:
            _enter(f"/proc/{self.pid}/ns/net")
            try:
                yield
            finally:
                _enter(f"/proc/self/fd/{before.fileno()}")

    def close(self) -> None:
        self._keeper.communicate("")


def _enter(path: str) -> None:
    # os.setns is there from Python 3.12 on
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Network:
    """``near`` is for the programs, ``far`` for targets; the cable between them carries 192.0.2.0/24 and 2001:db8::/64.

    | address | what it does |
    |---|---|
    | 192.0.2.1, 2001:db8::1 | ``near`` itself |
    | 192.0.2.2, 2001:db8::2 | ``far`` |
    | 192.0.2.99 | nobody answers for it |
    | 198.51.100.0/24, 2001:db8:1::/48 | swallows packets |
    | 203.0.113.0/26 · 203.0.113.64/26 | prohibited · unreachable by a route |
    | all else | no route |
    """

    def __init__(self) -> None:
        self.near = Namespace()
        self.far = Namespace()
        self.near.run(f"ip link add near type veth peer name far netns {self.far.pid}")
        for namespace, host in ((self.near, "near"), (self.far, "far")):
            number = 1 if host == "near" else 2
            namespace.run(f"ip addr add 192.0.2.{number}/24 dev {host}")
            namespace.run(f"ip addr add 2001:db8::{number}/64 dev {host} nodad")
            namespace.run(f"ip link set {host} up")
        # far forwards nothing; for IPv6 it would say that it has no route
        self.far.run("ip route add blackhole 2001:db8:1::/48")
        self.near.run("ip route add 198.51.100.0/24 via 192.0.2.2")
        self.near.run("ip route add 2001:db8:1::/48 via 2001:db8::2")
        self.near.run("ip route add prohibit 203.0.113.0/26")
        self.near.run("ip route add unreachable 203.0.113.64/26")
        with self.near.inside():
            for address in ("192.0.2.2", "2001:db8::2"):
                wait_for_neighbour(address)
        # a neighbour that does not answer is given up after one try
        self.near.setting("ipv4/neigh/near/mcast_solicit", "1")

    def close(self) -> None:
        self.near.close()
        self.far.close()
