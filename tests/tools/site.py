"""Three networks in a row: the tool and the Proxy, the Agent, the Targets.

    tool, Proxy                     Agent                          Targets
    192.0.2.1 ───── the cable ───── 192.0.2.2 · 10.20.30.1 ─────── 10.20.30.40
    2001:db8::1                     2001:db8::2 · fd00:20::1 ───── fd00:20::40

The first has a default route into the cable, so whatever a tool sends is really sent; the Agent's machine passes
nothing on. Names inside are known on the Agent's machine alone; the name server that the tool knows does not answer.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.namespaces import Namespace
from tests.end_to_end.programs import Installation
from tests.links import wait_for_neighbour
from tests.tools.trap import Door, Trap

WEB = "web.inside.test"
HOST = "10.20.30.40"
HOST6 = "fd00:20::40"
NAMES_INSIDE = f"127.0.0.1 localhost\n{HOST} {WEB}\n{HOST6} six.inside.test\n"
NAMES_OUTSIDE = "127.0.0.1 localhost\n::1 localhost\n"
RESOLVER = "nameserver 198.51.100.53\noptions timeout:1 attempts:1\n"
# nothing that would ask a daemon by a Unix socket, which no packet trap sees
SWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"
NEIGHBOUR = "192.0.2.2"


class Site:
    """The networks, a Proxy, an Agent that serves, and a way to run a tool beside the Proxy.

    ``options`` are the Proxy's, beside its listeners.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.tool, self.agent, self.inside = Namespace(), Namespace(), Namespace()
        self._connect(self.tool, self.agent, "cable", "192.0.2", "2001:db8", (1, 2))
        self._connect(self.agent, self.inside, "lan", "10.20.30", "fd00:20", (1, 40))
        for way in ("-4", "-6"):
            self.tool.run(f"ip {way} route add default via {'192.0.2.2' if way == '-4' else '2001:db8::2'}")
            # what the tool sends to others comes back at once as prohibited
            self.agent.run(f"ip {way} rule add iif cable prohibit")
        self.agent.setting("ipv4/ip_forward", "1")
        self.agent.setting("ipv6/conf/all/forwarding", "1")
        self.tool.bind_file(NAMES_OUTSIDE, "/etc/hosts", folder)
        self.tool.bind_file(RESOLVER, "/etc/resolv.conf", folder)
        self.tool.bind_file(SWITCH, "/etc/nsswitch.conf", folder)
        names = folder / "inside"
        names.mkdir()
        self.agent.bind_file(NAMES_INSIDE, "/etc/hosts", names)
        self.agent.bind_file(SWITCH, "/etc/nsswitch.conf", names)
        with self.tool.inside():
            wait_for_neighbour("192.0.2.2")
            wait_for_neighbour("2001:db8::2")
        with self.agent.inside():
            wait_for_neighbour(HOST)
            wait_for_neighbour(HOST6)
        self.programs = Installation(folder, self.tool.prefix)
        self._start(options)

    @property
    def port(self) -> int:
        """The SOCKS port, on loopback of the tool's network."""
        return self.programs.clients_port

    @property
    def proxy(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def doors(self) -> tuple[Door, ...]:
        """The SOCKS port, and the Proxy's carrier, which the Agent dials."""
        return Door("lo", "127.0.0.1", self.port), Door("cable", "192.0.2.1", self.programs.agents_port)

    def trap(self, *more: Door) -> Trap:
        """Sees what leaves the tool's network by another way than the Proxy's."""
        return Trap(self.tool, NEIGHBOUR, (*self.doors, *more))

    def run(
        self,
        *command: object,
        said: str = "",
        code: int | None = 0,
        seconds: float = 60,
        environment: Mapping[str, object] | None = None,
    ) -> str:
        """Run a tool to its end; what it wrote, standard error last. ``code``: how it must end, None for anyhow."""
        ran = subprocess.run(
            [*self.tool.prefix, *map(str, command)],
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            cwd=self.home,
            env={name: str(value) for name, value in (self._environment() | dict(environment or {})).items()},
        )
        assert code is None or ran.returncode == code, f"{ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr

    def python(self, source: str, *arguments: object, code: int | None = 0) -> str:
        """Run a few lines of Python as a tool."""
        return self.run(sys.executable, "-c", source, *arguments, code=code)

    def close(self) -> None:
        self.programs.close()
        for namespace in (self.tool, self.agent, self.inside):
            namespace.close()

    def _environment(self) -> dict[str, object]:
        return {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", "TERM": "dumb"}

    def _connect(
        self, one: Namespace, other: Namespace, name: str, four: str, six: str, numbers: tuple[int, int]
    ) -> None:
        one.run(f"ip link add {name} type veth peer name {name} netns {other.pid}")
        for namespace, number in zip((one, other), numbers, strict=True):
            namespace.run(f"ip addr add {four}.{number}/24 dev {name}")
            namespace.run(f"ip addr add {six}::{number}/64 dev {name} nodad")
            namespace.run(f"ip link set {name} up")

    def _start(self, options: Sequence[str]) -> None:
        made = self.programs
        made.admin("init", "--name", "192.0.2.1")
        copy = made.folder / "demo.agent"
        made.admin("agent", "add", "demo", "--proxy", f"192.0.2.1:{made.agents_port}", "--out", str(copy))
        agents, clients = f"tcp:{made.agents_port}:interface=192.0.2.1", f"tcp:{made.clients_port}:interface=127.0.0.1"
        made.proxy = made.start(
            "socksfusion-proxy", "--state", str(made.state), "--agents", agents, "--clients", clients, *options
        )
        made.proxy.wait_log(f"starting on {made.clients_port}")
        made.prefix = self.agent.prefix
        made.start_agent(copy, allow=())


@contextmanager
def a_site(folder: Path, *options: str) -> Iterator[Site]:
    """A site that is taken down at the end."""
    made = Site(folder, options)
    try:
        yield made
    finally:
        made.close()
