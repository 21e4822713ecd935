"""What can be told without the network: the clock and the rules."""

import time
from datetime import UTC, datetime

from socksfusion.agent.doctor.findings import Finding, Trouble
from socksfusion.agent.policy import Policy
from socksfusion.agent.policy_file import PolicyError, chosen_policy
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.log import printable
from socksfusion.options import ProgramOptions


def check_copy(copy: AgentCopy) -> Finding:
    """Whose copy it is; that it can be read was found out before."""
    return Finding("copy", f"this is agent {printable(copy.agent)}'s, for the Proxy at {printable(copy.proxy)}")


def check_clock(copy: AgentCopy) -> Finding:
    """Whether the copy's certificates are valid by this machine's clock."""
    problem = copy.clock_problem()
    if problem is not None:
        raise Trouble(
            "clock",
            problem,
            "who runs this machine, to set its clock; if it is right, the Proxy's operator for a new copy",
            ExitCode.CLOCK,
        )
    return Finding("clock", f"it is {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} here, and the copy is valid")


def check_policy(options: ProgramOptions, copy: AgentCopy) -> tuple[Finding, Policy]:
    """Which rules are in force."""
    try:
        policy = chosen_policy(options, copy)
    except PolicyError as error:
        raise Trouble("policy", str(error), "who writes the policy file", error.exit_code)
    if copy.expires is not None and copy.expires <= time.time():
        raise Trouble(
            "policy",
            f"the agreed time is over, so nothing is reached ({policy.agreed})",
            "the Proxy's operator for a new copy, if it is to go on",
            ExitCode.DENIED,
        )
    return Finding("policy", f"{_rules(options, policy)}; {policy.agreed}"), policy


def _rules(options: ProgramOptions, policy: Policy) -> str:
    if policy.rules is None:
        return "no rules: all but this machine and guarded ranges may be reached"
    if options["policy"] is None:
        return f"--allow {', '.join(map(str, options['allow']))}"
    return f"{len(policy.rules.rules)} rules of {printable(str(options['policy']))}"
