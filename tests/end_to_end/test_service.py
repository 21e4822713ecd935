"""The Agent as a service: installed below a folder, judged by systemd's own tools, and removed again."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from socksfusion.systemd_unit import systemd_unit
from tests.end_to_end.programs import Installation, wait_until

ETC = Path(__file__).parent.parent.parent / "etc"
UNIT = "etc/systemd/system/socksfusion-agent.service"
COPY = "etc/socksfusion/agent.copy"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd (Debian: systemd)")


def agent(*arguments: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    script = "from socksfusion.cli.agent_program import main; main()"
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, input=answer, capture_output=True, text=True, check=False, timeout=60)


def install(installed: Installation, *more: str) -> Path:
    """Install the service of a new agent below a root folder; the folder."""
    root = installed.folder / "root"
    program = root / "bin" / "socksfusion-agent"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = installed.folder / "demo.agent"
    if not copy.exists():
        installed.add_agent("demo")
    done = agent(
        "install-service", "--root", str(root), "--copy", str(copy), "--program", "/bin/socksfusion-agent", *more
    )
    assert done.returncode == 0, done.stderr
    return root


def test_the_unit_passes_systemds_own_check_and_is_exposed_little(installed: Installation) -> None:
    # a program that every machine has: systemd looks whether it is there
    root = install(installed, "--program", "/bin/true")
    unit = root / UNIT
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in verified.stderr.splitlines() if "socksfusion" in line]
    assert complaints == []
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert found is not None, judged.stdout + judged.stderr
    assert float(found[1]) < 2.0
    assert (root / "etc/systemd/system/multi-user.target.wants" / unit.name).is_symlink()
    assert "network-online" not in unit.read_text()


def test_the_copy_is_roots_alone_and_a_newer_one_takes_its_place(installed: Installation) -> None:
    root = install(installed)
    first = (root / COPY).read_bytes()
    assert first == (installed.folder / "demo.agent").read_bytes()
    assert (root / COPY).stat().st_mode & 0o777 == 0o600
    (installed.folder / "demo.agent").unlink()
    installed.admin("agent", "renew", "demo", "--out", str(installed.folder / "demo.agent"))
    config = installed.folder / "agent.toml"
    config.write_text('allow = ["10.0.0.0/8"]\n')
    install(installed, "--config", str(config))
    assert (root / COPY).read_bytes() != first
    assert "--config /etc/socksfusion/agent.toml" in (root / UNIT).read_text()


def test_what_the_configuration_names_goes_along_and_goes_again(installed: Installation) -> None:
    given = installed.folder / "given"
    given.mkdir(mode=0o700)
    config = given / "agent.toml"
    config.write_text(
        'policy = "rules"\noutbound-proxy = "http://bob@127.0.0.1:1"\noutbound-proxy-password-file = "word"\n'
        'audit = "/var/log/socksfusion-agent/audit"\n'
    )
    (given / "rules").write_text("allow 10.0.0.0/8\n")
    (given / "word").write_text("secret\n")
    (given / "word").chmod(0o600)
    root = install(installed, "--config", str(config))
    folder = root / "etc/socksfusion"
    assert (folder / "agent.policy").read_text() == "allow 10.0.0.0/8\n"
    assert (folder / "outbound-password").read_text() == "secret\n"
    assert (folder / "outbound-password").stat().st_mode & 0o777 == 0o600
    unit = (root / UNIT).read_text()
    assert "\nLoadCredential=outbound-password:/etc/socksfusion/outbound-password\n" in unit
    options = "--policy /etc/socksfusion/agent.policy --outbound-proxy-password-file ${CREDENTIALS_DIRECTORY}/"
    assert f" --config /etc/socksfusion/agent.toml {options}outbound-password\n" in unit
    install(installed)
    assert (root / UNIT).read_text() == unit, "without --config what is there stays"
    done = agent("uninstall", "--root", str(root), "--yes")
    assert "The Proxy could not be told (no connection to the outbound proxy" in done.stdout
    assert not folder.exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('policy = "none"', "can't read the policy file"),
        ('policy = "agent.toml"', "is no rule"),
        ('outbound-proxy-password-file = "none"', "--outbound-proxy-password-file: can't read"),
        ('audit = "audit"', "name it /var/log/socksfusion-agent/audit"),
    ],
    ids=["no policy", "broken policy", "no password", "record elsewhere"],
)
def test_a_configuration_that_the_service_could_not_use_changes_nothing(
    installed: Installation, line: str, complaint: str
) -> None:
    given = installed.folder / "given"
    given.mkdir(mode=0o700)
    (given / "agent.toml").write_text(f"{line}\n")
    root = installed.folder / "root"
    more = ["--config", str(given / "agent.toml"), "--program", "/bin/true"]
    done = agent("install-service", "--root", str(root), "--copy", str(installed.add_agent("demo")), *more)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert complaint in done.stderr
    assert not root.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--copy FILE is missing"),
        (["--copy", "none.agent"], "can't read"),
        (["--copy", "{copy}", "--program", "/a path"], "a unit can't name /a path"),
        (["--copy", "{copy}", "--config", "{copy}"], "unknown key"),
    ],
    ids=["no copy", "unreadable copy", "odd program", "no configuration"],
)
def test_what_is_wrong_changes_nothing(installed: Installation, arguments: list[str], complaint: str) -> None:
    copy = installed.add_agent("demo")
    root = installed.folder / "root"
    given = [argument.format(copy=copy) for argument in arguments]
    done = agent("install-service", "--root", str(root), *given)
    assert done.returncode in (2, 3)
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not root.exists()


def test_uninstall_asks_and_removes_all_and_the_proxy_shows_it(installed: Installation) -> None:
    root = install(installed)
    installed.start_proxy()
    for folder in ("var/lib/private", "var/log/private"):
        (root / folder / "socksfusion-agent").mkdir(parents=True)
        (root / folder / "socksfusion-agent" / "file").write_text("kept")
    (root / "var/lib/socksfusion-agent").symlink_to("private/socksfusion-agent")
    refused = agent("uninstall", "--root", str(root), answer="no\n")
    assert refused.returncode == 1
    assert "Nothing was changed." in refused.stdout
    assert (root / COPY).exists()
    done = agent("uninstall", "--root", str(root), "--yes")
    assert done.returncode == 0, done.stderr
    assert "The Proxy was told." in done.stdout
    left = [str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()]
    assert left == ["bin/socksfusion-agent"], "it was given by --program, and is not ours to remove"
    assert not list(root.rglob("socksfusion-agent/file"))

    def shown() -> object:
        return json.loads(installed.admin("agent", "show", "demo", "--json"))["uninstalled"]

    wait_until(lambda: shown() is True, shown)
    again = agent("uninstall", "--root", str(root), "--yes")
    assert "nothing that it keeps" in again.stdout


def test_uninstall_leaves_the_script_that_pip_has_put_where_executables_go(installed: Installation) -> None:
    root = install(installed)
    program = root / "usr/local/bin/socksfusion-agent"
    program.parent.mkdir(parents=True)
    program.write_text("#!/usr/bin/python3\n")
    done = agent("uninstall", "--root", str(root), "--yes", "--silent")
    assert done.returncode == 0, done.stderr
    assert program.exists()


@pytest.mark.parametrize("place", ["etc", "etc/socksfusion", "etc/systemd", "var/lib", "usr/local"])
def test_h4_links_in_an_image_do_not_lead_out_of_it(installed: Installation, place: str) -> None:
    copy, root, elsewhere = installed.add_agent("demo"), installed.folder / "root", installed.folder / "elsewhere"
    (elsewhere / "socksfusion-agent").mkdir(parents=True)
    (elsewhere / "bin").mkdir()
    (elsewhere / "bin" / "socksfusion-agent").write_text("another system's")
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    command = ["--root", str(root), "--copy", str(copy), "--program", "/bin/socksfusion-agent"]
    if place.startswith("etc"):
        done = agent("install-service", *command)
        assert done.returncode == 1
        assert "a link in it leads out" in done.stderr
    done = agent("uninstall", "--root", str(root), "--yes", "--silent")
    assert done.returncode == 1
    assert "a link in it leads out" in done.stderr
    assert sorted(elsewhere.rglob("*")) == before


def test_h5_a_planted_link_is_replaced_and_not_followed(installed: Installation) -> None:
    root = installed.folder / "root"
    victim = installed.folder / "victim"
    victim.write_text("mine")
    (root / UNIT).parent.mkdir(parents=True)
    (root / UNIT).symlink_to(victim)
    install(installed)
    assert victim.read_text() == "mine"
    assert not (root / UNIT).is_symlink()
    assert (root / UNIT).stat().st_mode & 0o777 == 0o644


def test_uninstall_goes_on_where_the_proxy_is_not_there(installed: Installation) -> None:
    root = install(installed)
    done = agent("uninstall", "--root", str(root), "--yes")
    assert done.returncode == 0
    assert "The Proxy could not be told" in done.stdout
    assert not (root / COPY).exists()


def test_the_running_agent_gives_its_signs(installed: Installation, tmp_path: Path) -> None:
    """Ready while no Proxy is there yet, alive, and stopping."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(30)
        copy = installed.add_agent("demo")
        program = installed.start(
            "socksfusion-agent", "--copy", str(copy), NOTIFY_SOCKET=address, WATCHDOG_USEC="100000"
        )
        assert listener.recv(4096).startswith(b"READY=1\n")
        assert listener.recv(4096) == b"WATCHDOG=1"
        program.process.terminate()
        while (sign := listener.recv(4096)) == b"WATCHDOG=1":
            pass
        assert sign == b"STOPPING=1"
        program.wait_exit()


def test_a_credential_of_systemds_is_a_copy_that_can_be_read(installed: Installation, tmp_path: Path) -> None:
    """Root's, and open to the service's user by an access list, whose mask a mode shows as the group's."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    copy = shutil.copy(installed.add_agent("demo"), folder / "copy")
    os.chmod(copy, 0o440)
    installed.start_proxy()
    refused = installed.start("socksfusion-agent", "--copy", str(copy))
    assert refused.wait_exit() == 2
    serving = installed.start("socksfusion-agent", "--copy", str(copy), CREDENTIALS_DIRECTORY=str(folder))
    serving.wait_log("serving as agent")
    os.chmod(copy, 0o444)
    open_to_all = installed.start("socksfusion-agent", "--copy", str(copy), CREDENTIALS_DIRECTORY=str(folder))
    assert open_to_all.wait_exit() == 2


def test_the_unit_in_etc_is_the_one_that_is_installed() -> None:
    assert (ETC / "socksfusion-agent.service").read_text() == systemd_unit()
