"""Why the Agent did not connect to a Target: one base, one class a cause, each with the SOCKS reply that tells it."""

from socksfusion.wire.socks5 import Reply


class ConnectFailed(Exception):
    """No connection; the text says why, for the connect reply's ``detail`` and the log."""

    reply: Reply = Reply.GENERAL_FAILURE
    """The code of the connect reply."""
    tried: bool = False
    """Whether the name was asked for or an address dialled: only then the Agent says that the Target is unreachable."""
    rule: str = ""
    """The rule under which it is counted and logged as a refusal; empty where it just tells about the Target."""


class Denied(ConnectFailed):
    """The policy allows none of the target's addresses; ``decided`` is the rule that says so of the first."""

    reply = Reply.NOT_ALLOWED

    def __init__(self, decided: str) -> None:
        super().__init__(f"denied by the Agent's policy: {decided}")
        self.decided = decided
