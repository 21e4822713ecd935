"""What an agent's bundle holds: a release's executable with its signatures, the copy, recipes and a page."""

from datetime import UTC, datetime
from pathlib import Path

from socksfusion.errors import UsageError
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.release import EXECUTABLE, SIGNERS, Release
from socksfusion.identity.state import StateFolder
from socksfusion.systemd_unit import systemd_unit

_README = """\
SocksFusion Agent: {agent}
{underline}
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
   {executable:<28} the program; --help tells what it can do
   {copy:<28} this agent's copy: its name, its key, the Proxy's address
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


def kept_release(state: StateFolder) -> Path:
    """Where `release import` puts the executable in the state folder."""
    return state.path / "release" / EXECUTABLE


def known_signers(state: StateFolder) -> Path:
    """Where the release's public key stands in the state folder."""
    return state.path / "release" / SIGNERS


def has_release(state: StateFolder) -> bool:
    """Whether a release was imported, with the key by which it is checked."""
    return kept_release(state).exists() and known_signers(state).exists()


def read_release(state: StateFolder, executable: Path | None = None) -> tuple[Release, bool]:
    """The state folder's release, or ``executable`` with what lies beside it; whether its signatures were checked.

    They are where the state folder knows the release's key. Raises ``OperatorError`` where there is none or they are
    wrong.
    """
    source = kept_release(state) if executable is None else executable
    if executable is None and not source.exists():
        raise UsageError("there is no release in the state folder; put one there by: socksfusion release import FILE")
    release = Release.read(source)
    signers = known_signers(state)
    if not signers.exists():
        return release, False
    release.verify(signers.read_bytes())
    return release, True


def bundle_files(copy: AgentCopy, release: Release) -> dict[str, bytes]:
    """The files of the bundle of ``copy``, by their names in it."""
    return {
        **release.files,
        f"{copy.agent}.agent": copy.text().encode(),
        "socksfusion-agent.service": systemd_unit().encode(),
        "WINDOWS.txt": _WINDOWS.encode(),
        "README.txt": _README.format(
            agent=copy.agent,
            underline="=" * len(f"SocksFusion Agent: {copy.agent}"),
            copy=f"{copy.agent}.agent",
            proxy=copy.proxy,
            executable=release.executable,
            agreed=_agreed(copy),
        ).encode(),
    }


def _agreed(copy: AgentCopy) -> str:
    text = f"\nIt reaches no networks but those that were agreed: {', '.join(copy.scope)}." if copy.scope else ""
    if copy.expires is not None:
        text += f"\nIt reaches nothing after {datetime.fromtimestamp(copy.expires, UTC):%Y-%m-%d %H:%M} UTC."
    return text
