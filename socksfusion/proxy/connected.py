"""Which agents are connected now, and who waits for one of them to come back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socksfusion.proxy.visit import Visit


class ConnectedAgents:
    """Agent's name to the visit that serves it; at most one each.

    ``arrived`` and ``left`` are lists of functions that are told the visit when an agent begins or ends to serve.
    """

    def __init__(self) -> None:
        self._serving: dict[str, Visit] = {}
        self.arrived: list[Callable[[Visit], None]] = []
        self.left: list[Callable[[Visit], None]] = []

    def get(self, agent: str) -> "Visit | None":
        """The visit that serves ``agent``, or None."""
        return self._serving.get(agent)

    def all(self) -> "list[Visit]":
        """Every serving visit, by the agent's name."""
        return [self._serving[name] for name in sorted(self._serving)]

    def add(self, visit: "Visit") -> None:
        """``visit`` serves its agent from now on; whoever served it before has been taken out."""
        self._serving[visit.agent] = visit
        for tell in self.arrived:
            tell(visit)

    def remove(self, visit: "Visit") -> None:
        """``visit`` serves no more; harmless where it did not."""
        if self._serving.get(visit.agent) is visit:
            del self._serving[visit.agent]
            for tell in self.left:
                tell(visit)
