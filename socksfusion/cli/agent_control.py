"""`socksfusion-agent pause`, `resume`, `stop-scan` and `status`: said to the running Agent over its control socket."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage

from socksfusion import limits
from socksfusion.cli.command_options import CommandOptions
from socksfusion.durations import parse_duration
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.log import printable
from socksfusion.options import Parameter, parameter, path

_SERVICE = "/run/socksfusion-agent/control"
"""Where the Agent that `install-service` installs has its own."""
_DEFAULT_POLICY = "no rules: all but this machine and guarded ranges may be reached"
_ANSWER_BYTES = limits.MIB


class ControlOptions(CommandOptions):
    """Which Agent is meant."""

    optParameters: ClassVar[Sequence[Parameter]] = [
        path("copy", "the copy file of the Agent that is meant, beside which it has its control socket"),
        path("control", f"its control socket itself; where neither is given {_SERVICE}, the service's"),
    ]

    @property
    def socket(self) -> Path:
        """The control socket's path."""
        if self["control"] is not None:
            return Path(self["control"])
        return Path(f"{self['copy']}.control" if self["copy"] is not None else _SERVICE)


class PauseOptions(ControlOptions):
    """`pause`."""

    synopsis = "Usage: socksfusion-agent pause [--for 1h] [--copy FILE | --control PATH]"
    longdesc = (
        "Cuts every connection that the Agent has opened, at once, and has it open none until it is resumed. It stays "
        "connected, tells its Proxy, and stays paused when it is started anew."
    )
    optParameters: ClassVar[Sequence[Parameter]] = [
        parameter("for", None, "resume by itself after this time, such as 90s, 1h30m or 2d", parse_duration),
    ]


class ResumeOptions(ControlOptions):
    """`resume`."""

    synopsis = "Usage: socksfusion-agent resume [--copy FILE | --control PATH]"
    longdesc = "Ends a pause."


class StopScanOptions(ControlOptions):
    """`stop-scan`."""

    synopsis = "Usage: socksfusion-agent stop-scan [--copy FILE | --control PATH]"
    longdesc = "Cuts every connection that the Agent has opened, and tells the Proxy to end the scans that use it."


class StatusOptions(ControlOptions):
    """`status`."""

    synopsis = "Usage: socksfusion-agent status [--json] [--copy FILE | --control PATH]"
    longdesc = "Tells what the Agent does now."
    optFlags: ClassVar[Sequence[Sequence[str | None]]] = [["json", None, "one JSON object on one line"]]


def pause(arguments: Sequence[str]) -> ExitCode:
    """Pause the Agent."""
    options = _parsed(PauseOptions(), arguments)
    if options["for"] is not None and not 0 < options["for"] <= limits.PAUSE_LARGEST_SECONDS:
        raise usage.UsageError(f"--for: more than nothing and at most {limits.PAUSE_LARGEST_SECONDS / 86400:g}d")
    return _tell(options, {"do": "pause", "seconds": options["for"]}, _paused)


def resume(arguments: Sequence[str]) -> ExitCode:
    """End a pause."""
    return _tell(_parsed(ResumeOptions(), arguments), {"do": "resume"}, lambda answer: "resumed")


def stop_scan(arguments: Sequence[str]) -> ExitCode:
    """End the scans."""

    def told(answer: dict[str, Any]) -> str:
        return "stopped" if answer["connected"] else "connections are cut; the Proxy is away and could not be told"

    return _tell(_parsed(StopScanOptions(), arguments), {"do": "stop-scan"}, told)


def status(arguments: Sequence[str]) -> ExitCode:
    """Tell what it does."""
    options = _parsed(StatusOptions(), arguments)
    return _tell(options, {"do": "status"}, _as_json if options["json"] else _as_text)


def _parsed(options: ControlOptions, arguments: Sequence[str]) -> ControlOptions:
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    return options


def _tell(options: ControlOptions, command: dict[str, Any], shown: Callable[[dict[str, Any]], str]) -> ExitCode:
    answer = ask(options.socket, command)
    if not answer.get("ok"):
        raise OperatorError(f"the Agent refuses: {printable(str(answer.get('why')))}")
    print(shown(answer))
    if answer.get("trouble"):
        raise OperatorError(str(answer["trouble"]))
    return ExitCode.NORMAL


def ask(where: Path, command: dict[str, Any]) -> dict[str, Any]:
    """The running Agent's answer to ``command``. Raises ``OperatorError`` where there is none."""
    if not hasattr(socket, "AF_UNIX"):
        raise OperatorError("not supported on this system, which has no Unix sockets: stop the Agent to stop its scans")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limits.CONTROL_SECONDS)
        try:
            connection.connect(os.fspath(where))
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(_ANSWER_BYTES)
        except OSError as error:
            why = error.strerror or str(error)
            raise OperatorError(
                f"no Agent answers at {printable(str(where))} ({why}); --copy or --control names another"
            )
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OperatorError(f"what answers at {printable(str(where))} is no Agent")
    return answer


def _paused(answer: dict[str, Any]) -> str:
    until = answer["paused_until"]
    return "paused until it is resumed" if until is None else f"paused until {until}"


def _as_json(answer: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in answer.items() if name not in ("ok", "trouble")})


def _as_text(answer: dict[str, Any]) -> str:
    policy = answer["policy"]
    rows = {
        "agent": answer["agent"],
        "state": f"{answer['state']} since {answer['since']}",
        "proxy": f"{answer['proxy']} ({'connected' if answer['connected'] else 'not connected'})",
        "scans": ", ".join(answer["scans"]) or "none",
        "streams": answer["streams"],
        "bytes a second": f"{answer['bytes_to_targets_per_second']} to targets, "
        f"{answer['bytes_to_clients_per_second']} to clients",
        "last error": answer["last_error"] or "none",
        "paused": "no" if not answer["paused"] else f"until {answer['paused_until'] or 'it is resumed'}",
        "scope": answer["scope"].removeprefix("agreed scope: "),
        "policy": _DEFAULT_POLICY if isinstance(policy, str) else "; ".join(policy),
    }
    if answer["policy_problem"]:
        rows["policy trouble"] = answer["policy_problem"]
    return "\n".join(f"{name + ':':<16}{value}" for name, value in rows.items())
