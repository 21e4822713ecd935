"""`socksfusion-agent doctor`: the way to the Proxy step by step, and what to ask of whom where it breaks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.python import usage
from twisted.python.failure import Failure

from socksfusion.agent.doctor.findings import Finding, as_json, exit_code
from socksfusion.agent.options import Options
from socksfusion.cli.agent_explain import host_and_port
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.log import printable
from socksfusion.options import Parameter, parameter

COPY: Final = "who gave you the copy file for a new one"


class DoctorOptions(Options):
    """The Agent's options, and what else the doctor is told: ``options["target"]`` is ``(host, port)`` or None."""

    synopsis = "Usage: socksfusion-agent doctor --copy NAME.agent [options of the Agent]"
    longdesc = (
        "Walks the way to the Proxy step by step, with these options, and says in a line each what is well ([ok]) and "
        "what to ask of whom ([!!]). Give it the Agent's own --config. The Proxy is asked whether it would let this "
        "copy in; nothing is changed by that, and an Agent that serves goes on. Exit code: that of the first trouble "
        "(docs/network-admin.md)."
    )
    optFlags: ClassVar[Sequence[Sequence[str | None]]] = [
        ["json", None, "print all findings as one JSON object at the end"],
        ["no-register", None, "don't ask the Proxy about the copy's key: end after TLS and certificates"],
    ]
    optParameters: ClassVar[Sequence[Parameter]] = [
        parameter("target", None, "HOST:PORT of a first target to connect to, as a client would", host_and_port),
    ]


def run(arguments: Sequence[str]) -> ExitCode:
    """Print what is found, and give the code of the first trouble."""
    options = DoctorOptions()
    options.parseOptions(arguments)
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not options["json"]:
            print(finding.line, flush=True)

    try:
        copy = AgentCopy.load(Path(options["copy"]))
    except OperatorError as error:
        tell(Finding("copy", str(error), COPY, error.exit_code))
    else:
        _walk(options, copy, tell)
    if options["json"]:
        print(as_json(findings))
    return exit_code(findings)


def _walk(options: DoctorOptions, copy: AgentCopy, tell: Any) -> None:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    from socksfusion.agent.doctor.walk import Walk

    running: Any = reactor
    failures: list[Failure] = []
    finished: list[bool] = []

    def start() -> None:
        walk = Walk(running, options, copy, tell, register=not options["no-register"], target=options["target"])
        done = Deferred.fromCoroutine(walk.all()).addCallbacks(finished.append, failures.append)
        done.addBoth(lambda _: running.stop())

    running.callWhenRunning(start)
    running.run()
    if failures:
        error = failures[0].value
        if isinstance(error, OperatorError | usage.UsageError):
            raise error
        failures[0].raiseException()
    if not finished:
        raise OperatorError(f"it was ended before all was asked ({printable(copy.agent)})")
