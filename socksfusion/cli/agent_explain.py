"""`socksfusion-agent explain HOST:PORT`: what the Agent would do with that request, and by which rule."""

import re
from collections.abc import Sequence

from twisted.python import usage

from socksfusion.agent.names import look_up
from socksfusion.agent.options import Options
from socksfusion.agent.policy import Policy, literal
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.log import printable


class ExplainOptions(Options):
    """The Agent's options and what is asked: ``options["asked"]`` is ``(host, port)``. No copy is needed."""

    synopsis = "Usage: socksfusion-agent explain HOST:PORT [options of the Agent]"
    longdesc = (
        "Says whether the Agent, with these options, would dial HOST:PORT (an IPv6 address in brackets), and by which "
        "rule. Names are looked up; nothing is dialled. Give it the Agent's own --config. Exit codes: 0 it would be "
        "dialled; 7 it would be denied; 2 wrong usage; 3 the copy can't be used; 1 the name can't be looked up."
    )

    def parseArgs(self, *asked: str) -> None:
        """One HOST:PORT."""
        if len(asked) != 1:
            raise usage.UsageError("explain needs one HOST:PORT")
        self["asked"] = _host_and_port(asked[0])

    def postOptions(self) -> None:
        """What the Agent would do without a copy is a question too."""


def run(arguments: Sequence[str]) -> ExitCode:
    """Print the answer, a line an address."""
    options = ExplainOptions()
    # getopt reads no option after what is none
    asked_first = bool(arguments) and not arguments[0].startswith("-")
    options.parseOptions([*arguments[1:], arguments[0]] if asked_first else arguments)
    host, port = options["asked"]
    policy = Policy(options["allow"] or None)
    decisions = [policy.check(address) for address in _addresses(host)]
    for decision in decisions:
        verdict = "would be dialled" if decision.allowed else "denied"
        print(f"{decision.address} port {port}: {verdict} ({decision.rule})")
    return ExitCode.NORMAL if any(decision.allowed for decision in decisions) else ExitCode.DENIED


def _addresses(host: str) -> list[str]:
    if literal(host) is not None:
        return [host]
    try:
        addresses = look_up(host)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{printable(host)} can't be looked up: {error}")
    print(f"{printable(host)} is {', '.join(addresses)}")
    return addresses


def _host_and_port(text: str) -> tuple[str, int]:
    parts = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})", text)
    if parts is None or int(parts[3]) > 0xFFFF:
        raise usage.UsageError(f"{printable(text)} is no HOST:PORT such as db.example:5432 or [2001:db8::1]:443")
    return parts[1] or parts[2], int(parts[3])
