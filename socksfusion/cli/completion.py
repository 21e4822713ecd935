"""What a shell's completion offers beside commands and options: the names that the registry knows."""

from collections.abc import Callable, Iterable

import click

from socksfusion.cli.state_option import state_of
from socksfusion.errors import OperatorError
from socksfusion.registry.store import Registry

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _of(names: Callable[[Registry], Iterable[str]]) -> Complete:
    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        try:
            with Registry.open(state_of(context).open().registry_file) as registry:
                return [name for name in names(registry) if name.startswith(begun)]
        except OperatorError:
            return []  # a shell's prompt is no place for what is wrong

    return complete


agent_names = _of(lambda registry: (agent.name for agent in registry.agents()))
client_names = _of(lambda registry: (client.name for client in registry.clients.list()))
scan_ids = _of(lambda registry: (scan.id for scan in registry.scans.list()))
running_scan_ids = _of(lambda registry: (scan.id for scan in registry.scans.list() if scan.ended is None))
