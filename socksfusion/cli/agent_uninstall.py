"""`socksfusion-agent uninstall`: the service with all that it keeps goes, and the Proxy is told."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from socksfusion import limits
from socksfusion.agent.options import Options
from socksfusion.cli.agent_service import UNIT, Rooted
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.log import printable
from socksfusion.systemd_unit import CONFIG, COPY, NAME, PASSWORD, POLICY, PROGRAM

_PLACED = (UNIT, COPY, CONFIG, POLICY, PASSWORD)
# with DynamicUser the real folders lie below private/, and links lead there
_KEPT = tuple(f"{base}/{link}{NAME}" for base in ("/var/lib", "/var/log", "/run") for link in ("private/", ""))


class UninstallOptions(Rooted):
    """Options of `uninstall`."""

    synopsis = "Usage: socksfusion-agent uninstall [--yes] [options]"
    longdesc = (
        "Stops the service, tells the Proxy that this agent is gone, and removes the service, the copy with its key, "
        "the configuration with its policy and password, the Agent's own state and records, and the executable that "
        "install-service put there. What the system's journal has stays there. As root."
    )
    optFlags: ClassVar[Sequence[Sequence[str | None]]] = [
        ["yes", "y", "don't ask"],
        ["silent", None, "don't tell the Proxy"],
    ]


def uninstall(arguments: Sequence[str]) -> ExitCode:
    """Remove the service; ``OperatorError`` and ``usage.UsageError`` say why not."""
    options = UninstallOptions()
    options.parseOptions(arguments)  # type: ignore[no-untyped-call]
    options.check_user()
    found = [place for place in map(options.under, (*_PLACED, *_KEPT)) if os.path.lexists(place)]
    program = options.under(PROGRAM)
    if _is_ours(program):
        found.append(program)
    if not found:
        print("There is no service of the Agent here, and nothing that it keeps.")
        return ExitCode.NORMAL
    print("This goes:", *found, sep="\n  ")
    if not options["yes"] and not _agreed():
        print("Nothing was changed.")
        return ExitCode.UNEXPECTED
    if options.under(UNIT).exists():
        options.systemctl("disable", *(["--now"] if options.is_running_system else []), NAME)
    if not options["silent"]:
        _tell_proxy(options)
    for place in found:
        _remove(place)
    with suppress(OSError):
        # not empty where a Proxy has its configuration there
        options.under(COPY).parent.rmdir()
    if options.is_running_system:
        options.systemctl("daemon-reload")
    print("The Agent is removed.")
    return ExitCode.NORMAL


def _is_ours(program: Path) -> bool:
    """Whether it is install-service's: a single executable. A script of pip's has that name and place too."""
    try:
        with program.open("rb") as file:
            return file.read(2) != b"#!"
    except OSError:
        return False


def _agreed() -> bool:
    try:
        return input("Remove it? Type yes: ").strip() == "yes"
    except EOFError:
        return False


def _tell_proxy(options: UninstallOptions) -> None:
    """By a short connection, as the Agent makes them; whether it works or not, the rest goes on."""
    try:
        copy = AgentCopy.load(options.under(COPY))
        agent = Options()
        named = {"config": CONFIG, "copy": COPY, "outbound-proxy-password-file": PASSWORD}
        places = {option: options.under(place) for option, place in named.items()}
        agent.parseOptions([f"--{option}={place}" for option, place in places.items() if place.exists()])
        why = _call(copy, agent)
    except (OperatorError, usage.UsageError) as error:
        why = str(error)
    if why:
        print(f"The Proxy could not be told ({printable(why, 500)}): tell its operator.")
    else:
        print("The Proxy was told.")


def _call(copy: AgentCopy, agent: Options) -> str:
    # not before it is needed: the reactor stands once it is imported
    from twisted.internet import reactor

    from socksfusion.agent.farewell import say_farewell
    from socksfusion.agent.ways import chosen_ways

    ways = chosen_ways(reactor, agent, copy)
    answers: list[str] = []

    def done(why: str) -> None:
        answers.append(why)
        stop: Any = reactor
        stop.stop()

    def begin() -> None:
        say_farewell(reactor, ways, copy, limits.FAREWELL_SECONDS).addCallback(done)

    running: Any = reactor
    running.callWhenRunning(begin)
    running.run()
    return answers[0] if answers else "it was interrupted"


def _remove(place: Path) -> None:
    try:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(f"can't remove {place}: {error.strerror}")
