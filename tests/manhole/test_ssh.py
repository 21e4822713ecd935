"""The manhole and the real ssh client (attacks G2)."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.programs import wait_until

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed"),
]

SERVER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from socksfusion.manhole.service import manhole_service
from socksfusion.manhole.tables import table
from socksfusion.refusals import Refusals

folder = Path(sys.argv[1])
log = textFileLogObserver((folder / "log").open("w", buffering=1))
globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
namespace = {"agents": lambda: print(table([["home", 3]], ["agent", "streams"])), "reactor": reactor}
keys = folder / "authorized_keys", folder / "host_key"
refusals = Refusals(reactor.seconds)
service = manhole_service(reactor, "tcp:0:interface=127.0.0.1", namespace, *keys, "At hand: agents()", refusals)
service.startService()
print(service.port.getHost().port, flush=True)
reactor.run()
"""


@dataclass
class Manhole:
    folder: Path
    port: int

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def allow(self, key: str) -> None:
        file = self.folder / "authorized_keys"
        file.write_bytes((self.folder / f"{key}.pub").read_bytes())
        file.chmod(0o600)

    def ssh(
        self, *arguments: str, key: str = "me", typed: str = "", program: str = "ssh"
    ) -> "subprocess.CompletedProcess[str]":
        options = {
            "IdentityFile": self.folder / key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
        }
        port = ["-P" if program == "sftp" else "-p", str(self.port)]
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return subprocess.run(
            [program, "-F", "none", *port, *given, *arguments],
            input=typed,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture(scope="module")
def manhole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manhole]:
    folder = tmp_path_factory.mktemp("manhole")
    for name, kind in {"me": "ed25519", "stranger": "ed25519", "rsa": "rsa", "ecdsa": "ecdsa"}.items():
        subprocess.run(
            ["ssh-keygen", "-q", "-N", "", "-t", kind, "-C", name, "-f", folder / name], check=True, timeout=30
        )
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, folder],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as server:
        assert server.stdout is not None
        try:
            yield Manhole(folder, int(server.stdout.readline()))
        finally:
            server.kill()


@pytest.mark.parametrize("key", ["me", "rsa", "ecdsa"])
def test_a_known_key_gets_a_prompt_and_the_login_is_logged(manhole: Manhole, key: str) -> None:
    manhole.allow(key)
    since = len(manhole.log())
    done = manhole.ssh("-T", "ops@127.0.0.1", key=key, typed="agents()\n1 / 0\n6 * 7\n")
    assert "At hand: agents()" in done.stdout
    assert "home         3" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "42" in done.stdout
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", manhole.folder / key], check=True, timeout=30, capture_output=True, text=True
    ).stdout.split()[1]

    def told() -> list[str]:
        log = manhole.log()[since:]
        return re.findall(
            rf"manhole (\w+): user ops from 127\.0\.0\.1:\d+ with key {re.escape(fingerprint)} \({key}\)", log
        )

    # ssh is gone before the server notices
    wait_until(lambda: told() == ["login", "logout"], told)


def test_with_a_terminal(manhole: Manhole) -> None:
    manhole.allow("me")
    since = len(manhole.log())
    done = manhole.ssh("-tt", "ops@127.0.0.1", typed="agents()\rquit()\r")
    assert "home         3" in done.stdout
    assert done.returncode == 0
    others = [line for line in manhole.log()[since:].splitlines() if "manhole log" not in line]
    assert others == [], "conch says nothing"


def test_leaving_ends_the_session_and_not_the_program(manhole: Manhole) -> None:
    manhole.allow("me")
    for leave in ("exit()", "quit()", "raise SystemExit(3)", "\x04"):
        done = manhole.ssh("-T", "x@127.0.0.1", typed=f"{leave}\nprint('still ' + 'here')\n")
        assert "At hand" in done.stdout
        assert done.returncode == 0
    assert "42" in manhole.ssh("-T", "x@127.0.0.1", typed="6 * 7\n").stdout


def test_keys_are_read_at_each_login(manhole: Manhole) -> None:
    manhole.allow("stranger")
    done = manhole.ssh("-T", "x@127.0.0.1", typed="6 * 7\n")
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr
    assert "rule=manhole-login" in manhole.log()
    manhole.allow("me")
    assert "42" in manhole.ssh("-T", "x@127.0.0.1", typed="6 * 7\n").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "PreferredAuthentications=password,keyboard-interactive", "x@127.0.0.1"],
        ["-o", "Ciphers=3des-cbc", "x@127.0.0.1"],
        ["-o", "Ciphers=aes256-cbc", "x@127.0.0.1"],
        ["-o", "Ciphers=chacha20-poly1305@openssh.com", "x@127.0.0.1"],
        ["-o", "MACs=hmac-md5", "x@127.0.0.1"],
        ["-o", "MACs=hmac-sha1", "x@127.0.0.1"],
        ["-o", "KexAlgorithms=diffie-hellman-group14-sha1", "x@127.0.0.1"],
        ["-o", "KexAlgorithms=ecdh-sha2-nistp256", "x@127.0.0.1"],
    ],
)
def test_g2_what_is_weak_is_not_offered(manhole: Manhole, arguments: list[str]) -> None:
    manhole.allow("me")
    done = manhole.ssh("-T", *arguments, typed="6 * 7\n")
    assert done.returncode == 255
    assert "42" not in done.stdout


@pytest.mark.parametrize("signature", ["ssh-rsa"])
def test_g2_no_signature_by_sha1(manhole: Manhole, signature: str) -> None:
    manhole.allow("rsa")
    done = manhole.ssh("-T", "-o", f"PubkeyAcceptedAlgorithms={signature}", "x@127.0.0.1", key="rsa", typed="6 * 7\n")
    assert done.returncode == 255


def test_g2_no_command_no_subsystem_no_forwarding(manhole: Manhole) -> None:
    manhole.allow("me")
    assert manhole.ssh("x@127.0.0.1", "6 * 7").returncode != 0
    assert "42" not in manhole.ssh("x@127.0.0.1", "6 * 7").stdout
    assert manhole.ssh("-s", "x@127.0.0.1", "sftp").returncode != 0
    assert manhole.ssh("-W", f"127.0.0.1:{manhole.port}", "x@127.0.0.1").returncode != 0
    remote = manhole.ssh("-T", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "x@127.0.0.1", typed="6 * 7\n")
    assert "42" not in remote.stdout
    if shutil.which("sftp") is not None:
        assert manhole.ssh("x@127.0.0.1", program="sftp", typed="ls\n").returncode != 0
    assert "Traceback" not in manhole.log()


@pytest.mark.parametrize("line", ["'\x00'", "\udcff", "é", "(", "def f(:"])
def test_odd_input_leaves_the_prompt_alive(manhole: Manhole, line: str) -> None:
    manhole.allow("me")
    raw = line.encode("utf-8", "surrogateescape").decode("latin-1")
    done = manhole.ssh("-T", "x@127.0.0.1", typed=f"{raw}\n\n\x03\n6 * 7\n")
    assert "42" in done.stdout
    assert "Traceback" not in manhole.log()
