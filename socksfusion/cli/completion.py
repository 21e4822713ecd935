"""What a shell's completion offers beside commands and options: the names that the registry knows."""

from collections.abc import Callable, Iterable

import click

from socksfusion.cli.state_option import state_of
from socksfusion.errors import OperatorError
from socksfusion.registry.store import Registry

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _of(names: Callable[[Registry], Iterable[str]], *, several: bool = False) -> Complete:
    """``several``: names between commas, of which the last is completed, by none that stands before it."""

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        before, comma, last = begun.rpartition(",") if several else ("", "", begun)
        given = before.split(",")
        try:
            with Registry.open(state_of(context).open().registry_file) as registry:
                offered = [name for name in names(registry) if name.startswith(last) and name not in given]
        except OperatorError:
            return []  # a shell's prompt is no place for what is wrong
        return [f"{before}{comma}{name}" for name in offered]

    return complete


agent_names = _of(lambda registry: (agent.name for agent in registry.agents()))
agent_lists = _of(lambda registry: (agent.name for agent in registry.agents()), several=True)
client_names = _of(lambda registry: (client.name for client in registry.clients.list()))
scan_ids = _of(lambda registry: (scan.id for scan in registry.scans.list()))
running_scan_ids = _of(lambda registry: (scan.id for scan in registry.scans.list() if scan.ended is None))
