"""`socksfusion agent …`: who may come in."""

import json
import shlex
from pathlib import Path

import click

from socksfusion.cli.agent_report import as_json, as_lines, as_table
from socksfusion.cli.state_option import given_state, state_option
from socksfusion.errors import UsageError
from socksfusion.identity.authority import Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.names import PROXY_PORT, check_agent_name, format_proxy, parse_proxy
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry, RegistryError


@click.group(short_help="Register agents, make their copies, shut them out.")
def agent() -> None:
    """Make, show, renew and revoke agents' copies, and give agents ports of their own.

    These commands work while the Proxy runs, which heeds a change within a second, and while it doesn't.
    """


_PROXY_HELP = "The Proxy's address as the agent reaches it; kept for later copies."
_USUAL = "the first name given to init, port 443"
_out_option = click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write the copy; an existing file is never replaced.  [default: NAME.agent]",
)


@agent.command(
    short_help="Register an agent and write its copy.",
    epilog="\b\nExamples:\n  socksfusion agent add acme\n"
    "  socksfusion agent add acme --proxy [2001:db8::1]:8443 --out /tmp/acme.agent",
)
@click.argument("name")
@click.option("--proxy", metavar="HOST:PORT", help=f"{_PROXY_HELP}  [default: {_USUAL}]")
@_out_option
@state_option
def add(name: str, proxy: str | None, out: Path | None) -> None:
    """Register the agent NAME and write its copy: the one file that its machine needs.

    NAME is 1 to 64 of the characters a-z A-Z 0-9 . _ -, the first a letter or digit.
    """
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        registry.check_new(name)
        copy, issued = _mint(state, name, proxy)
        path = _save(copy, out)
        try:
            registry.add_agent(name, issued.digest, copy.proxy if proxy is not None else None)
        except RegistryError:
            path.unlink()
            raise
    click.echo(f"Registered agent {name}; its copy for the Proxy at {copy.proxy} is {path}.")
    _tell_next(path)


@agent.command(
    short_help="Write a new copy for an agent.",
    epilog="\b\nExample:\n  socksfusion agent renew acme --out acme-2.agent",
)
@click.argument("name")
@click.option("--proxy", metavar="HOST:PORT", help=f"{_PROXY_HELP}  [default: the kept one, or {_USUAL}]")
@_out_option
@state_option
def renew(name: str, proxy: str | None, out: Path | None) -> None:
    """Write a new copy for the agent NAME.

    The older copy works until the new one first connects; then the older one is refused for good.
    """
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        found = registry.agent(name)
        copy, issued = _mint(state, name, found.proxy if proxy is None else proxy)
        path = _save(copy, out)
        try:
            registry.renew_agent(name, issued.digest, copy.proxy if proxy is not None else None)
        except RegistryError:
            path.unlink()
            raise
    click.echo(f"The new copy of agent {name} for the Proxy at {copy.proxy} is {path}.")
    if found.revoked:
        click.echo(f"Agent {name} is revoked, and no copy of it works until: socksfusion agent restore {name}")
    else:
        click.echo("The older copy works until this one first connects.")
    _tell_next(path)


def _mint(state: StateFolder, name: str, proxy: str | None) -> tuple[AgentCopy, Issued]:
    check_agent_name(name)
    host, port = parse_proxy(proxy) if proxy is not None else (_usual_name(state), PROXY_PORT)
    if host not in state.certificate_names():
        raise UsageError(f"the Proxy's certificate is not for {host}; add it by: socksfusion init --name {host}")
    issued = state.authority().issue_agent(name)
    copy = AgentCopy(name, format_proxy(host, port), state.ca_pem(), issued.certificate_pem, issued.key_pem)
    return copy, issued


def _usual_name(state: StateFolder) -> str:
    names = state.names()
    if not names:
        raise UsageError("say where the agent finds the Proxy: --proxy HOST:PORT (init was given no --name)")
    return names[0]


def _save(copy: AgentCopy, out: Path | None) -> Path:
    path = Path(f"{copy.agent}.agent") if out is None else out
    copy.save(path)
    return path


def _tell_next(path: Path) -> None:
    file = shlex.quote(path.name)
    click.echo("It holds a private key: move it to the agent's machine by a way that nobody else can read.")
    click.echo("Next, on that machine, type:")
    click.echo(f"  twistd -n --pidfile= socksfusion-agent --copy {file}")


@agent.command(
    "list",
    short_help="Show all agents.",
    epilog="\b\nExamples:\n  socksfusion agent list\n  socksfusion agent list --json",
)
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array instead of a table.")
@state_option
def list_(wants_json: bool) -> None:
    """Show all agents: connected or not, last seen, from where, version, last error."""
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        served, found = registry.is_served(), registry.agents()
    if wants_json:
        click.echo(json.dumps([as_json(one, served) for one in found], indent=2))
    elif found:
        click.echo(as_table(found, served))
    else:
        click.echo("There are no agents; add one by: socksfusion agent add NAME")


@agent.command(
    short_help="Show an agent with its keys.",
    epilog="\b\nExamples:\n  socksfusion agent show acme\n  socksfusion agent show acme --json",
)
@click.argument("name")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object instead.")
@state_option
def show(name: str, wants_json: bool) -> None:
    """Show the agent NAME with its keys."""
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        served, found, keys = registry.is_served(), registry.agent(name), registry.agent_keys(name)
    if wants_json:
        click.echo(json.dumps(as_json(found, served, keys), indent=2))
    else:
        click.echo(as_lines(found, served, keys))


@agent.command(short_help="Shut an agent out.", epilog="\b\nExample:\n  socksfusion agent revoke acme")
@click.argument("name")
@state_option
def revoke(name: str) -> None:
    """Shut the agent NAME out: its session ends, and its copy is refused until `agent restore`."""
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        changed = registry.revoke_agent(name)
    if changed:
        click.echo(f"Agent {name} is revoked; undo it by: socksfusion agent restore {name}")
    else:
        click.echo(f"Agent {name} was revoked already; nothing was changed.")


@agent.command(short_help="Undo revoke.", epilog="\b\nExample:\n  socksfusion agent restore acme")
@click.argument("name")
@state_option
def restore(name: str) -> None:
    """Undo `agent revoke`: the agent's copy is let in again."""
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        changed = registry.restore_agent(name)
    if changed:
        click.echo(
            f"Agent {name} may connect again; a running Agent tries within some minutes, or at once if restarted."
        )
    else:
        click.echo(f"Agent {name} was not revoked; nothing was changed.")


@agent.command(
    short_help="Give an agent a SOCKS port of its own.",
    epilog="\b\nExamples:\n  socksfusion agent port acme 1081\n  socksfusion agent port acme none",
)
@click.argument("name")
@click.argument("port", metavar="PORT|none")
@state_option
def port(name: str, port: str) -> None:
    """Give the agent NAME a SOCKS port of its own; `none` takes it away.

    The port stays this agent's, connected or not, until it is taken away. The Proxy's log says if it can't be opened:
    the shared port (1080) is taken already.
    """
    number = _port(port)
    state = given_state().open()
    with Registry.open(state.registry_file) as registry:
        registry.set_port(name, number)
    if number is None:
        click.echo(f"Agent {name} has no port of its own.")
    else:
        click.echo(f"Port {number} is agent {name}'s; clients use it as SOCKS5 proxy 127.0.0.1:{number}.")


def _port(text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise UsageError("PORT is a number from 1 to 65535, or none")
    return int(text)
