"""This project with many Agents at one Proxy: all of them in one process, each with a key and a session of its own."""

import re
import sys
import time
from pathlib import Path

from bench.errors import BenchError
from bench.generator import Generator
from bench.processes import POLL_SECONDS, Program, free_port
from bench.socksfusion_side import SocksFusionSide
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry

STARTED = "All agents start"
"""What the Agents' process writes once everything is built and nothing has been dialled."""
SERVES = re.compile(rb"agent (\S+) serves from")
"""What the Proxy logs of each agent that it takes in."""
CONNECT_LIMIT_SECONDS = 120.0


class ManyAgentsSide(SocksFusionSide):
    """``agents`` of them; ``via`` leads through the first. ``connect_seconds``: until the last was taken in."""

    def __init__(self, folder: Path, generator: Generator, *, agents: int, reactor: str | None = None) -> None:
        super().__init__(folder, generator, reactor=reactor)
        self._agents = agents
        self.connect_seconds = 0.0

    def start(self) -> None:
        self._agents_port, self._first_port = free_port(), free_port()
        copies = self.folder / "copies"
        self._mint(copies, self._agents_port, self._first_port)
        self.proxy = self.start_proxy("proxy.log")
        self.agents = self.run([sys.executable, "-m", "bench.many_agents", str(copies)], log="agents.log", env=self.env)
        self.agents.wait_for_text(STARTED, CONNECT_LIMIT_SECONDS)
        self.connect_seconds = self.wait_for_all(self.proxy)
        self.via = f"socks5:127.0.0.1:{self._first_port}"

    def start_proxy(self, log: str) -> Program:
        """Start a Proxy and wait until it listens; its log is a file of that name."""
        # all agents have one address here, which a Proxy takes for a flood otherwise
        many = str(2 * self._agents + 64)
        proxy = self.twistd(
            "socksfusion-proxy",
            *("--state", str(self.state)),
            *("--agents", f"tcp:{self._agents_port}:interface=127.0.0.1"),
            *("--clients", f"tcp:{free_port()}:interface=127.0.0.1"),
            *("--unauthenticated-per-address", many, "--unauthenticated-total", many),
            log=log,
        )
        proxy.wait_for_port(self._first_port)
        return proxy

    def wait_for_all(self, proxy: Program) -> float:
        """Seconds until ``proxy`` has taken the last Agent in."""
        began = time.monotonic()
        while len(set(SERVES.findall(proxy.log.read_bytes()))) < self._agents:
            self._wait(began, proxy, self.agents)
        return time.monotonic() - began

    def _wait(self, began: float, *programs: Program) -> None:
        for program in programs:
            program.check()
        if time.monotonic() > began + CONNECT_LIMIT_SECONDS:
            raise BenchError(f"not all of {self._agents} agents were taken in within {CONNECT_LIMIT_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)

    def _mint(self, folder: Path, agents_port: int, first_port: int) -> None:
        """State folder, registry and copies, without a command for each: a command starts a Python of its own."""
        folder.mkdir()
        state = StateFolder(self.state)
        state.create([], lambda path: Registry.create(path).close())
        authority, ca_pem = state.authority(), state.ca_pem()
        with Registry.open(state.registry_file) as registry:
            for number in range(1, self._agents + 1):
                name = f"agent-{number}"
                issued = authority.issue_agent(name)
                registry.add_agent(name, issued.digest)
                # as after its first connection: what is measured is how all come back
                registry.activate(issued.digest)
                copy = AgentCopy(name, f"127.0.0.1:{agents_port}", ca_pem, issued.certificate_pem, issued.key_pem)
                copy.save(folder / f"{name}.agent")
            registry.set_port("agent-1", first_port)
