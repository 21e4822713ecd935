"""This project: a Proxy and an Agent under twistd, with a state folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.generator import Generator, LineSpec
from bench.processes import Program, free_port
from bench.sides import Side

PROJECT = Path(__file__).parent.parent
CLI = (sys.executable, "-c", "from socksfusion.cli.main import main; main()")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class SocksFusionSide(Side):
    """``reactor`` is twistd's option of that name, for both programs."""

    name = "socksfusion"
    label = "SocksFusion"

    def __init__(
        self, folder: Path, generator: Generator, line: LineSpec | None = None, *, reactor: str | None = None
    ) -> None:
        super().__init__(folder, generator, line)
        self._reactor = reactor
        self.state = folder / "state"
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        self.env = {**os.environ, "PYTHONPATH": path, "SOCKSFUSION_STATE": str(self.state)}

    def _admin(self, *arguments: str) -> None:
        done = subprocess.run(
            [*CLI, *arguments], env=self.env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"socksfusion {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def twistd(self, plugin: str, *options: str, log: str) -> Program:
        general = ["-n", "--pidfile="] + ([f"--reactor={self._reactor}"] if self._reactor else [])
        return self.run([*TWISTD, *general, plugin, *options], log=log, env=self.env)

    def start(self) -> None:
        agents_port, socks_port = free_port(), free_port()
        copy = self.folder / "demo.agent"
        self._admin("init")
        self._admin("agent", "add", "demo", "--proxy", f"localhost:{self.reach(agents_port)}", "--out", str(copy))
        proxy = self.twistd(
            "socksfusion-proxy",
            *("--state", str(self.state)),
            *("--agents", f"tcp:{agents_port}:interface=127.0.0.1"),
            *("--clients", f"tcp:{socks_port}:interface=127.0.0.1"),
            log="proxy.log",
        )
        proxy.wait_for_port(agents_port)
        agent = self.twistd("socksfusion-agent", "--copy", str(copy), "--allow", "127.0.0.0/8", log="agent.log")
        # the message comes a round trip before the Proxy's welcome, from when on it serves
        agent.wait_for_text("serving as agent")
        self.via = f"socks5:127.0.0.1:{socks_port}"
