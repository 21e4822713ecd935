"""A real OpenSSH server for the user who runs the tests, and the client's options to reach it through the Proxy."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.programs import Program, free_port
from tests.tools.site import Site

PRIVILEGE_SEPARATION_FOLDER = Path("/run/sshd")
SERVER = """\
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
"""
CLIENT = """\
Host *
    User {user}
    Port {port}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    HostKeyAlias inside
    StrictHostKeyChecking yes
    BatchMode yes
    ProxyCommand nc.openbsd -X 5 -x {proxy} %h %p
"""


@contextmanager
def ssh_server(site: Site, folder: Path) -> Iterator[Path]:
    """Serve on the Targets' machine; the client's configuration file, which goes through the Proxy."""
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "known_hosts").write_text(f"inside {(folder / 'host_key.pub').read_text()}")
    # sshd started by root insists on it; the service makes it at boot
    PRIVILEGE_SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    server, client = folder / "sshd_config", folder / "ssh_config"
    server.write_text(SERVER.format(port=port, folder=folder))
    user = pwd.getpwuid(os.geteuid()).pw_name
    client.write_text(CLIENT.format(port=port, folder=folder, user=user, proxy=site.proxy))
    # sshd insists on its full path
    sshd = Program([*site.inside.prefix, "/usr/sbin/sshd", "-D", "-e", "-f", str(server)], cwd=folder)
    try:
        sshd.wait_log("Server listening")
        yield client
    finally:
        sshd.stop()
