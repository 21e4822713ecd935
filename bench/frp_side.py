"""frp: frps on the Proxy's place, frpc with its SOCKS5 plug-in on the Agent's, TLS between them as by default."""

from pathlib import Path

from bench.generator import Generator, LineSpec
from bench.processes import find_tool, free_port
from bench.sides import Side

SERVER_CONFIG = """\
bindAddr = "127.0.0.1"
proxyBindAddr = "127.0.0.1"
bindPort = {port}
log.level = "info"
"""
CLIENT_CONFIG = """\
serverAddr = "127.0.0.1"
serverPort = {port}
transport.tls.enable = true
log.level = "info"

[[proxies]]
name = "socks"
type = "tcp"
remotePort = {socks_port}
[proxies.plugin]
type = "socks5"
"""


class FrpSide(Side):
    """``frpc`` and ``frps`` are the paths of the two programs (version 0.52 or newer, whose configuration is TOML)."""

    name = "frp"
    label = "frp"

    def __init__(
        self, folder: Path, generator: Generator, line: LineSpec | None = None, *, frpc: str, frps: str
    ) -> None:
        super().__init__(folder, generator, line)
        self._frpc, self._frps = frpc, frps

    def start(self) -> None:
        frps, frpc = find_tool("frps", self._frps), find_tool("frpc", self._frpc)
        port, socks_port = free_port(), free_port()
        server, client = self.folder / "frps.toml", self.folder / "frpc.toml"
        server.write_text(SERVER_CONFIG.format(port=port))
        self.run([frps, "-c", str(server)], log="frps.log").wait_for_port(port)
        client.write_text(CLIENT_CONFIG.format(port=self.reach(port), socks_port=socks_port))
        self.run([frpc, "-c", str(client)], log="frpc.log").wait_for_port(socks_port)
        self.via = f"socks5:127.0.0.1:{socks_port}"
