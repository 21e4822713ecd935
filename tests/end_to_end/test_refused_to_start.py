"""What can't be used is told in one clear line with an exit code, and what runs already is not disturbed."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from socksfusion.exit_codes import ExitCode
from socksfusion.identity.authority import Authority
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, Program

Damage = Callable[[Path], object]
"""Makes a good file or folder bad."""


@pytest.fixture
def honest(serving: Installation) -> Iterator[socket.socket]:
    """A Client that was there before and is served afterwards."""
    with Target(echo) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        yield client
        client.sendall(b"not disturbed")
        assert receive_exactly(client, 13) == b"not disturbed"


def assert_refused(program: Program, code: ExitCode, *texts: str) -> None:
    assert program.wait_exit() == code
    assert program.out == []
    lines = [line for line in program.log if line.startswith("socksfusion-")]
    assert len(lines) == 1, program.log
    assert not any("Traceback" in line for line in program.log)
    for text in texts:
        assert text in lines[0]


def write(name: str, content: str, mode: int = 0o600) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(content)
        path.chmod(mode)

    return damage


def edit(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def link(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).rename(folder / "moved")
        (folder / name).symlink_to(folder / "moved")

    return damage


COPIES: dict[str, tuple[Damage, ExitCode, str]] = {
    "missing": (lambda folder: (folder / "demo.agent").unlink(), ExitCode.STATE, "can't read"),
    "cut": (
        edit("demo.agent", lambda data: data[:700]),
        ExitCode.STATE,
        "is damaged: it can't be parsed; get it again",
    ),
    "one byte other": (
        edit("demo.agent", lambda data: data.replace(b"MII", b"MIJ", 1)),
        ExitCode.STATE,
        "is damaged: a certificate or the key in it can't be used",
    ),
    "not text": (edit("demo.agent", lambda data: b"\x89PNG\r\n\x1a\n\x00"), ExitCode.STATE, "is damaged"),
    "foreign": (
        write("demo.agent", 'remote = "vpn.example.org"\n'),
        ExitCode.STATE,
        "is not an Agent copy; make one by",
    ),
    "of another version": (
        edit("demo.agent", lambda data: data.replace(b"version = 1", b"version = 3")),
        ExitCode.STATE,
        "is an Agent copy of version 3, and this program reads versions 1 to 2; install a newer SocksFusion",
    ),
    "others can read it": (
        lambda folder: (folder / "demo.agent").chmod(0o644),
        ExitCode.USAGE,
        "(mode 0644); type: chmod 600",
    ),
    "a link": (link("demo.agent"), ExitCode.USAGE, "is a symbolic link; put the file itself there"),
}


@pytest.mark.parametrize("case", COPIES)
def test_copy_that_cannot_be_used(serving: Installation, tmp_path: Path, honest: object, case: str) -> None:
    damage, code, text = COPIES[case]
    shutil.copy2(serving.folder / "demo.agent", tmp_path)
    damage(tmp_path)
    assert_refused(serving.start("socksfusion-agent", "--copy", str(tmp_path / "demo.agent")), code, text)


def made_in_a_year(folder: Path) -> None:
    """A CA and certificate of a machine whose clock is a year ahead of ours."""
    authority, key = Authority.create(lambda: time.time() + 365 * 86400)
    issued = authority.issue_proxy(["localhost"])
    for name, pem in {
        "ca.pem": authority.ca_pem,
        "ca.key": key,
        "proxy.pem": issued.certificate_pem,
        "proxy.key": issued.key_pem,
    }.items():
        (folder / name).write_bytes(pem)


STATES: dict[str, tuple[Damage, ExitCode, str]] = {
    "missing": (shutil.rmtree, ExitCode.STATE, "there is no state folder"),
    "of another version": (write("version", "2\n"), ExitCode.STATE, "is of version 2, and this program uses version 1"),
    "of another owner": (lambda folder: os.chown(folder, 65534, 65534), ExitCode.STATE, "belongs to user"),
    "others can look in": (lambda folder: folder.chmod(0o755), ExitCode.USAGE, "(mode 0755); type: chmod 700"),
    "others can read a key": (
        lambda folder: (folder / "proxy.key").chmod(0o640),
        ExitCode.USAGE,
        "(mode 0640); type: chmod 600",
    ),
    "key of another certificate": (
        lambda folder: shutil.copy2(folder / "ca.key", folder / "proxy.key"),
        ExitCode.STATE,
        "proxy.pem or proxy.key in",
    ),
    "certificate missing": (lambda folder: (folder / "proxy.pem").unlink(), ExitCode.STATE, "proxy.pem is missing"),
    "registry damaged": (
        write("registry.sqlite", "not a database, or one that lost its head " * 9),
        ExitCode.STATE,
        "",
    ),
    "from the future": (made_in_a_year, ExitCode.STATE, "set the clock"),
}


@pytest.mark.parametrize("case", STATES)
def test_state_folder_that_cannot_be_used(serving: Installation, tmp_path: Path, honest: object, case: str) -> None:
    damage, code, text = STATES[case]
    if case == "of another owner" and os.geteuid() != 0:
        pytest.skip("needs root, to give a folder away")
    state = tmp_path / "state"
    shutil.copytree(serving.state, state)
    damage(state)
    proxy = serving.start("socksfusion-proxy", "--state", str(state), "--agents", "tcp:0:interface=127.0.0.1")
    assert_refused(proxy, code, text)


@pytest.mark.parametrize("option", ["agents", "clients"])
def test_port_in_use(serving: Installation, tmp_path: Path, honest: object, option: str) -> None:
    state = tmp_path / "state"
    shutil.copytree(serving.state, state)
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        endpoints = dict.fromkeys(("agents", "clients"), "tcp:0:interface=127.0.0.1")
        endpoints[option] = f"tcp:{occupied.getsockname()[1]}:interface=127.0.0.1"
        arguments = [argument for name, text in endpoints.items() for argument in (f"--{name}", text)]
        proxy = serving.start("socksfusion-proxy", "--state", str(state), *arguments)
        assert_refused(
            proxy, ExitCode.LISTEN, f"can't listen on {endpoints[option]}: Address already in use; end the program"
        )


@pytest.mark.parametrize("program", ["proxy", "agent"])
def test_unknown_key_in_the_configuration(serving: Installation, tmp_path: Path, honest: object, program: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text("ping = 15\nallow-everybody = true\n")
    refused = serving.start(f"socksfusion-{program}", "--config", str(config))
    assert_refused(refused, ExitCode.USAGE, f"{config}: unknown key 'allow-everybody'")


@pytest.mark.parametrize("option", [("--clients", "tcp:0"), ("--ports-interface", "0.0.0.0")])
def test_f2_clients_ports_for_everybody_without_a_login(
    serving: Installation, honest: object, option: tuple[str, str]
) -> None:
    refused = serving.start("socksfusion-proxy", "--state", str(serving.state), *option)
    assert_refused(refused, ExitCode.USAGE, option[0], "can be reached from other hosts", "--authentication required")


def test_unknown_variable(serving: Installation, honest: object) -> None:
    refused = serving.start("socksfusion-proxy", SOCKSFUSION_STAET=str(serving.state))
    assert_refused(refused, ExitCode.USAGE, "unknown environment variable SOCKSFUSION_STAET")
