"""chisel: a server that allows reverse tunnels, and a client that offers its SOCKS5 server through one."""

from pathlib import Path

from bench.generator import Generator, LineSpec
from bench.processes import find_tool, free_port
from bench.sides import Side


class ChiselSide(Side):
    """``chisel`` is the path of its one program."""

    name = "chisel"
    label = "chisel"

    def __init__(self, folder: Path, generator: Generator, line: LineSpec | None = None, *, chisel: str) -> None:
        super().__init__(folder, generator, line)
        self._chisel = chisel

    def start(self) -> None:
        chisel = find_tool("chisel", self._chisel)
        port, socks_port = free_port(), free_port()
        server = self.run([chisel, "server", "--host", "127.0.0.1", "--port", str(port), "--reverse"], log="server.log")
        server.wait_for_port(port)
        remote = f"R:127.0.0.1:{socks_port}:socks"
        client = self.run([chisel, "client", f"http://127.0.0.1:{self.reach(port)}", remote], log="client.log")
        client.wait_for_port(socks_port)
        self.via = f"socks5:127.0.0.1:{socks_port}"
