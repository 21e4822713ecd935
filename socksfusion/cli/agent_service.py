"""`socksfusion-agent install-service`: the Agent as a systemd service of this machine."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from socksfusion import children
from socksfusion.agent.options import Options
from socksfusion.agent.policy_file import load_policy
from socksfusion.audit import SYSLOG
from socksfusion.cli.command_options import CommandOptions
from socksfusion.errors import OperatorError, UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.private_files import PrivateFileError, read_private, write_private
from socksfusion.log import printable
from socksfusion.options import Parameter, path
from socksfusion.posix import effective_user
from socksfusion.systemd_unit import CONFIG, COPY, NAME, PASSWORD, POLICY, PROGRAM, systemd_unit

UNIT = f"/etc/systemd/system/{NAME}.service"
_RECORDS = Path("/var/log", NAME)


class Rooted(CommandOptions):
    """Options with the root folder below which all paths lie; ``under`` gives a path there."""

    optParameters: ClassVar[Sequence[Parameter]] = [
        path("root", "folder that stands for / (of an image, say); nothing is started then", "/"),
    ]

    @property
    def is_running_system(self) -> bool:
        """Whether it is this machine's own root folder."""
        return bool(self["root"] == "/")

    def under(self, place: str) -> Path:
        """``place``, an absolute path, below the root folder.

        ``OperatorError`` where links of an image lead out of it, as absolute ones do, into another system.
        """
        root = Path(self["root"])
        path = root / place.lstrip("/")
        if not path.parent.resolve().is_relative_to(root.resolve()):
            raise OperatorError(f"{printable(str(path))} is not below {printable(str(root))}: a link in it leads out")
        return path

    def systemctl(self, *arguments: str) -> None:
        """Run ``systemctl ARGUMENTS``, for the root folder; ``OperatorError`` where it fails."""
        command = ["systemctl", *([] if self.is_running_system else [f"--root={self['root']}"]), *arguments]
        done = children.run(command)
        if done.returncode != 0:
            raise OperatorError(f"{' '.join(command)}: {printable(done.stderr.decode(errors='replace').strip(), 500)}")

    def check_user(self) -> None:
        """``UsageError`` unless this process may change the running system."""
        if effective_user() is None:
            raise UsageError("there is no systemd on this system; docs/network-admin.md tells what to do on Windows")
        if self.is_running_system and effective_user() != 0:
            raise UsageError("this changes the system's services: run it as root")


class InstallOptions(Rooted):
    """Options of `install-service`."""

    synopsis = "Usage: socksfusion-agent install-service --copy NAME.agent [options]"
    longdesc = (
        "Installs the Agent as a systemd service that starts at boot, and starts it. The copy goes to "
        "/etc/socksfusion, readable by root alone; so do the configuration, and the policy and password file that it "
        "names. Run again, it replaces them. As root."
    )
    optParameters: ClassVar[Sequence[Parameter]] = [
        path("copy", "this agent's copy file"),
        path("config", "TOML file with the Agent's options"),
        path("program", "the program to run; a single executable is copied to /usr/local/bin  [default: this one]"),
    ]

    def postOptions(self) -> None:
        """The copy is needed, and the Agent's own options must be right."""
        if self["copy"] is None:
            raise usage.UsageError("--copy FILE is missing: the file that 'socksfusion agent add' made")
        if self["config"] is not None:
            self.agent(Path(self["config"]))

    def agent(self, config: Path) -> Options:
        """The Agent's options as the file ``config`` has them."""
        agent = Options()
        agent.parseOptions([f"--config={config}", f"--copy={self['copy']}"])
        return agent


def install(arguments: Sequence[str]) -> ExitCode:
    """Install the service; ``OperatorError`` and ``usage.UsageError`` say why not."""
    options = InstallOptions()
    options.parseOptions(arguments)  # type: ignore[no-untyped-call]
    options.check_user()
    agent = AgentCopy.load(Path(options["copy"])).agent
    try:
        files = _read_files(options)
        program = _place_program(options)
        options.under(COPY).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for place, content in files.items():
            if place in (COPY, PASSWORD):
                write_private(options.under(place), content)
            else:
                _write(options.under(place), content)
        _write(options.under(UNIT), _unit(options, program).encode())
    except PrivateFileError as error:
        raise OperatorError(str(error))
    except OSError as error:
        raise OperatorError(f"can't use {error.filename}: {error.strerror}")
    if options.is_running_system:
        options.systemctl("daemon-reload")
    options.systemctl("enable", NAME)
    if options.is_running_system:
        options.systemctl("restart", NAME)
    print(f"The Agent {agent} is installed as the service {NAME}; journalctl -fu {NAME} shows what it does.")
    print(f"{options['copy']} is not needed any more: delete it.")
    return ExitCode.NORMAL


def _read_files(options: InstallOptions) -> dict[str, bytes]:
    """What goes to /etc/socksfusion, by its place there; what can't be used is told before anything is changed."""
    files = {COPY: read_private(Path(options["copy"]))}
    if options["config"] is None:
        return files
    files[CONFIG] = Path(options["config"]).read_bytes()
    agent = options.agent(Path(options["config"]))
    if agent["policy"] is not None:
        policy = Path(agent["policy"])
        load_policy(policy)
        files[POLICY] = policy.read_bytes()
    if agent["outbound-proxy-password-file"] is not None:
        try:
            files[PASSWORD] = read_private(Path(agent["outbound-proxy-password-file"]))
        except PrivateFileError as error:
            raise UsageError(f"--outbound-proxy-password-file: {error}")
    audit = agent["audit"]
    if audit is not None and audit != SYSLOG and _RECORDS not in Path(audit).parents:
        raise UsageError(
            f"{options['config']}: audit: the service can't write {printable(audit)}; name it {_RECORDS}/audit"
        )
    return files


def _unit(options: InstallOptions, program: str) -> str:
    """The unit's text, for the files that are in their places."""
    if not options.under(CONFIG).exists():
        return systemd_unit(program)
    agent = options.agent(options.under(CONFIG))
    named = {"policy": POLICY, "outbound-proxy-password-file": PASSWORD}
    policy, password = (
        place if agent[option] is not None and options.under(place).exists() else None
        for option, place in named.items()
    )
    return systemd_unit(program, config=CONFIG, policy=policy, password=password)


def _place_program(options: InstallOptions) -> str:
    """Where the program will be, for the unit."""
    if options["program"] is not None:
        program = str(options["program"])
    elif getattr(sys, "frozen", False):
        target = options.under(PROGRAM)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # a running executable can't be written to, but replaced
            part = target.with_name(f"{target.name}.new")
            part.unlink(missing_ok=True)
            shutil.copyfile(sys.executable, part)
            part.chmod(0o755)
            part.replace(target)
        except OSError as error:
            raise OperatorError(f"can't write {target}: {error.strerror}")
        program = PROGRAM
    else:
        program = os.path.abspath(sys.argv[0])
    if not re.fullmatch(r"/[\w./+@-]+", program, re.ASCII):
        raise UsageError(f"a unit can't name {printable(program)}: move it to a plain path, or use --program")
    return program


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # a link that somebody has put there is replaced, not followed
    write_private(path, content)
    path.chmod(0o644)
