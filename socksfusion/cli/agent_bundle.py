"""`socksfusion agent add NAME --bundle OUT.zip`: all that an agent's machine needs, in one file."""

import tempfile
from pathlib import Path

import click

from socksfusion.errors import UsageError
from socksfusion.identity import bundle
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.private_files import PrivateFileError, create_private, shown
from socksfusion.identity.release import EXECUTABLE, SIGNERS, Release
from socksfusion.identity.state import StateFolder
from socksfusion.systemd_unit import systemd_unit

_README = """\
SocksFusion Agent: {agent}
==========================
This program runs in your network, connects out to {proxy} by TLS, and opens the connections that
its clients ask for, as far as your rules allow. It listens on nothing.{agreed}

1. Check what you were given
   The executable and the list of its parts are signed. You have the release's public key, the file
   allowed_signers, from elsewhere than this bundle. Then, in this folder:
     ssh-keygen -Y verify -f /PATH/TO/allowed_signers -I socksfusion-release -n socksfusion-release \\
       -s {executable}.sig < {executable}
   must say: Good "socksfusion-release" signature (and so for socksfusion-agent.cdx.json).

2. Try it
     ./{executable} --copy {agent}.agent
   Ctrl-C ends it. The copy, {agent}.agent, holds a private key: nobody else may read it.

3. Install it as a service that starts at boot (Linux with systemd, as root)
     ./{executable} install-service --copy {agent}.agent
   and delete this folder. To be rid of it again: socksfusion-agent uninstall
   Windows: WINDOWS.txt.

What is in here
   {executable}            the program; --help tells what it can do
   {agent}.agent                this agent's copy: its name, its key, the Proxy's address
   socksfusion-agent.cdx.json   the list of parts (CycloneDX)
   *.sig, allowed_signers       signatures by the release key, and the key as this sender knows it
   socksfusion-agent.service    the systemd unit that install-service writes
   WINDOWS.txt                  how to start it at boot on Windows
"""
_WINDOWS = """\
The Agent at boot on Windows. Untested: nobody has run the Agent on Windows yet.

It needs an executable that was built on Windows (bundle/README.md in the sources). It is no service by itself, so the
task scheduler starts it, and starts it again when it ends. In PowerShell, as administrator, with the executable as
C:\\Program Files\\SocksFusion\\socksfusion-agent.exe and the copy as C:\\ProgramData\\SocksFusion\\agent.copy:

  icacls C:\\ProgramData\\SocksFusion /inheritance:r /grant "*S-1-5-19:(OI)(CI)RX" "*S-1-5-32-544:(OI)(CI)F"
  $run = New-ScheduledTaskAction -Execute "C:\\Program Files\\SocksFusion\\socksfusion-agent.exe" `
    -Argument "--copy C:\\ProgramData\\SocksFusion\\agent.copy"
  $again = New-ScheduledTaskSettingsSet -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
    -ExecutionTimeLimit 0
  Register-ScheduledTask SocksFusionAgent -Action $run -Settings $again -User "NT AUTHORITY\\LOCAL SERVICE" `
    -Trigger (New-ScheduledTaskTrigger -AtStartup)

icacls leaves the copy to that account (S-1-5-19) and to administrators: on Windows the Agent does not check who may
read it. To be rid of it: Unregister-ScheduledTask SocksFusionAgent, and delete both folders.
"""


def known_signers(state: StateFolder) -> Path:
    """Where the release's public key stands in the state folder."""
    return state.path / "release" / SIGNERS


def make_bundle(state: StateFolder, copy: AgentCopy, executable: Path | None) -> bytes:
    """The bundle of ``copy`` as a zip, with the state folder's release or with ``executable`` and what lies beside it.

    Signatures are checked first where the state folder knows the release's key. Raises ``OperatorError``.
    """
    source = executable or state.path / "release" / EXECUTABLE
    if executable is None and not source.exists():
        raise UsageError("there is no release in the state folder; put one there by: socksfusion release import FILE")
    release = Release.read(source)
    signers = known_signers(state)
    if signers.exists():
        release.verify(signers.read_bytes())
    else:
        click.echo(
            "The executable was not checked: no release key is known here (socksfusion release import).", err=True
        )
    files = {
        **release.files,
        f"{copy.agent}.agent": _text_of(copy),
        "socksfusion-agent.service": systemd_unit().encode(),
        "WINDOWS.txt": _WINDOWS.encode(),
        "README.txt": _README.format(
            agent=copy.agent, proxy=copy.proxy, executable=release.executable, agreed=_agreed(copy)
        ).encode(),
    }
    return bundle.pack(files)


def save_bundle(state: StateFolder, copy: AgentCopy, executable: Path | None, path: Path) -> Path:
    """Write that to ``path``, which must be free, with mode 0600; ``path``."""
    try:
        create_private(path, make_bundle(state, copy, executable))
    except FileExistsError:
        raise UsageError(f"{shown(path)} exists already; give another name, or move it away")
    except PrivateFileError as error:
        raise UsageError(str(error))
    return path


def _text_of(copy: AgentCopy) -> bytes:
    with tempfile.TemporaryDirectory(prefix="socksfusion-") as folder:
        copy.save(Path(folder, "copy"))
        return Path(folder, "copy").read_bytes()


def _agreed(copy: AgentCopy) -> str:
    return f"\nIt reaches no networks but those that were agreed: {', '.join(copy.scope)}." if copy.scope else ""
