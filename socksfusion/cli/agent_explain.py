"""`socksfusion-agent explain HOST:PORT`: what the Agent would do with that request, and by which rule."""

import re
from collections.abc import Sequence
from pathlib import Path

from twisted.python import usage

from socksfusion.agent.names import look_up
from socksfusion.agent.options import Options
from socksfusion.agent.policy import Decision, literal
from socksfusion.agent.policy_file import chosen_policy
from socksfusion.agent.rules import plain_name
from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
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
        self["asked"] = host_and_port(asked[0])

    def postOptions(self) -> None:
        """What the Agent would do without a copy is a question too."""
        self.check_rules()


def run(arguments: Sequence[str]) -> ExitCode:
    """Print the answer, a line an address."""
    options = ExplainOptions()
    # getopt reads no option after what is none
    asked_first = bool(arguments) and not arguments[0].startswith("-")
    options.parseOptions([*arguments[1:], arguments[0]] if asked_first else arguments)
    host, port = options["asked"]
    policy = chosen_policy(options, AgentCopy.load(Path(options["copy"])) if options["copy"] is not None else None)
    print(policy.agreed)
    is_name = literal(host) is None
    addresses = _looked_up(host) if is_name else [host]
    decisions = [policy.check(address, port, name=plain_name(host) if is_name else "") for address in addresses]
    for decision in decisions:
        print(f"{decision.address} port {port}: {_verdict(decision)}")
    return ExitCode.NORMAL if any(decision.allowed for decision in decisions) else ExitCode.DENIED


def _verdict(decision: Decision) -> str:
    rule = f"{decision.rule}: {printable(decision.text)}" if decision.text else decision.rule
    return f"would be dialled ({rule})" if decision.allowed else f"denied ({rule})"


def _looked_up(host: str) -> list[str]:
    try:
        addresses = look_up(host)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it can't be a name"
        raise OperatorError(f"{printable(host)} can't be looked up here ({why}): the Agent would answer: unreachable")
    print(f"{printable(host)} is {', '.join(addresses)}")
    return addresses


def host_and_port(text: str) -> tuple[str, int]:
    """What HOST:PORT says; ``usage.UsageError`` where it is none."""
    parts = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})", text)
    if parts is None or int(parts[3]) > 0xFFFF:
        raise usage.UsageError(f"{printable(text)} is no HOST:PORT such as db.example:5432 or [2001:db8::1]:443")
    return parts[1] or parts[2], int(parts[3])
