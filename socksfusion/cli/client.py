"""`socksfusion client …`: accounts of those who use the agents."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from socksfusion.cli.client_report import as_json, as_lines, as_table
from socksfusion.cli.completion import agent_lists, client_names
from socksfusion.cli.parameters import NONE, Names, Networks, examples, narrowing_option
from socksfusion.cli.state_option import open_registry, state_option
from socksfusion.errors import UsageError
from socksfusion.identity.tokens import mint_token, token_digest

_examples = partial(examples, "client")
_ONCE = "It is shown this once, and nobody can read it later: the registry keeps its SHA-256 only."


@click.group(short_help="Accounts of those who use the agents.")
def client() -> None:
    """Make accounts for those who use the agents, and say which agents each may use.

    An account logs in on any clients' listener as NAME@AGENT, with its token as the password. These commands work
    while the Proxy runs, which heeds a change within a second, and while it doesn't.
    """


_name_argument = click.argument("name", shell_complete=client_names)
_all_option = click.option("--all", "all_agents", is_flag=True, help="All agents, those that are added later too.")


@client.command(
    short_help="Make an account and its token.",
    epilog=_examples("add alice --agents acme,bolt", "add scanner --all --allow 10.20.0.0/16"),
)
@click.argument("name")
@click.option(
    "--agents",
    metavar="NAME,...",
    type=Names(),
    default=(),
    shell_complete=agent_lists,
    help="The agents that it may use.",
)
@_all_option
@narrowing_option
@state_option
def add(name: str, agents: tuple[str, ...], all_agents: bool, allow: tuple[str, ...]) -> None:
    """Make the account NAME and print its token.

    NAME is 1 to 64 of the characters a-z A-Z 0-9 . _ -, the first a letter or digit.
    """
    if agents and all_agents:
        raise UsageError("give --agents or --all, not both")
    token = mint_token()
    with open_registry() as registry:
        registry.clients.add(name, token_digest(token), agents=agents, all_agents=all_agents, allow=allow)
    click.echo(f"Made client {name}; it may use {_which(agents, all_agents)}.")
    _tell_token(name, token)
    if not agents and not all_agents:
        click.echo(f"Let it use agents by: socksfusion client agents {name} AGENT,...")


def _which(agents: tuple[str, ...], all_agents: bool) -> str:
    if all_agents:
        return "all agents"
    if not agents:
        return "no agent yet"
    return f"agent{'s' if len(agents) > 1 else ''} {', '.join(agents)}"


def _tell_token(name: str, token: str) -> None:
    click.echo(f"Its token: {token}")
    click.echo(f"{_ONCE} It is the password of the user {name}@AGENT.")


@client.command("list", short_help="Show all accounts.", epilog=_examples("list", "list --json"))
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array instead of a table.")
@state_option
def list_(wants_json: bool) -> None:
    """Show all accounts: revoked or not, which agents they may use, and when they were last used."""
    with open_registry() as registry:
        found = registry.clients.list()
    if wants_json:
        click.echo(json.dumps([as_json(one) for one in found], indent=2))
    elif found:
        click.echo(as_table(found))
    else:
        click.echo("There are no clients; add one by: socksfusion client add NAME")


@client.command(short_help="Show an account.", epilog=_examples("show alice", "show alice --json"))
@_name_argument
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object instead.")
@state_option
def show(name: str, wants_json: bool) -> None:
    """Show the account NAME."""
    with open_registry() as registry:
        found = registry.clients.get(name)
    click.echo(json.dumps(as_json(found), indent=2) if wants_json else as_lines(found))


@client.command(short_help="Make a new token for an account.", epilog=_examples("renew alice"))
@_name_argument
@state_option
def renew(name: str) -> None:
    """Make a new token for the account NAME; the one before opens nothing any more."""
    token = mint_token()
    with open_registry() as registry:
        registry.clients.renew(name, token_digest(token))
        revoked = registry.clients.get(name).revoked
    click.echo(f"Client {name} has a new token; the one before works no more.")
    _tell_token(name, token)
    if revoked:
        click.echo(f"Client {name} is revoked, and its token opens nothing until: socksfusion client restore {name}")


def _switch(name: str, change: Callable[[Any], bool], done: str, was_so: str) -> None:
    with open_registry() as registry:
        changed = change(registry.clients)
    click.echo(f"Client {name} {done}" if changed else f"Client {name} {was_so}; nothing was changed.")


@client.command(short_help="Shut an account out.", epilog=_examples("revoke alice"))
@_name_argument
@state_option
def revoke(name: str) -> None:
    """Shut the account NAME out: its connections end within a second, and it opens none until `client restore`."""
    undo = f"is revoked; undo it by: socksfusion client restore {name}"
    _switch(name, lambda clients: bool(clients.revoke(name)), undo, "was revoked already")


@client.command(short_help="Undo revoke.", epilog=_examples("restore alice"))
@_name_argument
@state_option
def restore(name: str) -> None:
    """Undo `client revoke`: the token works again."""
    _switch(name, lambda clients: bool(clients.restore(name)), "may log in again.", "was not revoked")


@client.command(
    short_help="Say which agents an account may use.",
    epilog=_examples("agents alice acme,bolt", "agents alice --all", "agents alice none"),
)
@_name_argument
@click.argument("agents", metavar="AGENT,...|none", required=False, shell_complete=agent_lists)
@_all_option
@state_option
def agents(name: str, agents: str | None, all_agents: bool) -> None:
    """Let the account NAME use these agents and no others; connections to others end within a second."""
    if (agents is None) != all_agents:
        raise UsageError("name the agents with a comma between them, or none, or give --all")
    chosen = () if agents in (None, NONE) else Names().convert(agents, None, None)
    with open_registry() as registry:
        registry.clients.set_agents(name, chosen, all_agents=all_agents)
    click.echo(f"Client {name} may use {_which(chosen, all_agents)}.")


@client.command(
    short_help="Narrow an account to networks.",
    epilog=_examples("allow alice 10.20.0.0/16,2001:db8::/32", "allow alice none"),
)
@_name_argument
@click.argument("networks", metavar="CIDR,...|none", type=Networks(none=True))
@state_option
def allow(name: str, networks: tuple[str, ...]) -> None:
    """Let the account NAME reach these networks and nothing else; `none` lets it reach all that its agents allow."""
    with open_registry() as registry:
        registry.clients.set_allow(name, networks)
    reach = ", ".join(networks) if networks else "all that its agents allow"
    click.echo(f"Client {name} reaches {reach}.")
