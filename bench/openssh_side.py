"""OpenSSH's remote dynamic forwarding: ``ssh -R 127.0.0.1:PORT``, a SOCKS server on sshd's end, as the current user."""

import os
import pwd
import subprocess
from pathlib import Path

from bench.errors import BenchError
from bench.generator import Generator, LineSpec
from bench.processes import find_tool, free_port
from bench.sides import Side

SERVER_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
GatewayPorts no
MaxSessions 10
MaxStartups 100
"""
PRIVILEGE_SEPARATION_FOLDER = Path("/run/sshd")


class OpensshSide(Side):
    """``cipher`` narrows OpenSSH's own choice; without it both ends use their defaults."""

    name = "openssh"
    label = "OpenSSH"

    def __init__(
        self, folder: Path, generator: Generator, line: LineSpec | None = None, *, cipher: str | None = None
    ) -> None:
        super().__init__(folder, generator, line)
        self._cipher = cipher

    def _make_keys(self, keygen: str) -> None:
        for name in ("host_key", "user_key"):
            command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(self.folder / name)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"ssh-keygen failed: {done.stderr.strip()}")
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"bench {host_key}")

    def start(self) -> None:
        sshd, ssh = find_tool("sshd"), find_tool("ssh")
        self._make_keys(find_tool("ssh-keygen"))
        if os.geteuid() == 0:
            # sshd started by root insists on it; the service makes it at boot, a container often has none.
            PRIVILEGE_SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
        port, socks_port = free_port(), free_port()
        config = self.folder / "sshd_config"
        config.write_text(SERVER_CONFIG.format(port=port, folder=self.folder))
        self.run([sshd, "-D", "-e", "-f", str(config)], log="sshd.log").wait_for_port(port)
        options = {
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "HostKeyAlias": "bench",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
        }
        if self._cipher:
            options["Ciphers"] = self._cipher
        command = [
            ssh,
            "-F",
            "none",
            "-N",
            "-T",
            "-v",
            "-p",
            str(self.reach(port)),
            "-i",
            str(self.folder / "user_key"),
        ]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        user = pwd.getpwuid(os.geteuid()).pw_name
        client = self.run([*command, "-R", f"127.0.0.1:{socks_port}", f"{user}@127.0.0.1"], log="ssh.log")
        client.wait_for_text("remote forward success")
        self.via = f"socks5:127.0.0.1:{socks_port}"

    def remarks(self) -> list[str]:
        words = (self.folder / "ssh.log").read_text(errors="replace").partition("client->server cipher:")[2].split()
        return [f"OpenSSH's cipher is {words[0]}"] if words else []
