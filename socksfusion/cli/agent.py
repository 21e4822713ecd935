"""`socksfusion agent …`: who may come in."""

import json
import shlex
import time
from pathlib import Path
from typing import Any

import click

from socksfusion.cli.agent_bundle import bundle_option, check_outputs, executable_option, save_bundle, tell_bundle
from socksfusion.cli.agent_link import link, links
from socksfusion.cli.agent_report import as_json, as_lines, as_table
from socksfusion.cli.agent_rights import port, remove, restore, revoke, tell_token, token
from socksfusion.cli.completion import agent_names
from socksfusion.cli.parameters import Networks, Until
from socksfusion.cli.state_option import given_state, open_registry, state_option
from socksfusion.errors import UsageError
from socksfusion.identity.authority import Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.names import PROXY_PORT, check_agent_name, format_proxies, parse_proxies
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tokens import mint_token, token_digest
from socksfusion.registry.store import RegistryError


@click.group(short_help="Register agents, make their copies, shut them out.")
def agent() -> None:
    """Make, show, renew and revoke agents' copies, and give agents ports of their own.

    These commands work while the Proxy runs, which heeds a change within a second, and while it doesn't.
    """


_PROXY_HELP = "The Proxy's address as the agent reaches it, or several between commas; kept for later copies."
_USUAL = "the first name given to init, port 443"
_out_option = click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write the copy; an existing file is never replaced.  [default: NAME.agent]",
)
_SCOPE_HELP = "Networks that were agreed on: the agent reaches no other, whatever it is asked."
_EXPIRES_HELP = "How long it may come in, such as 14d, from now on"


@agent.command(
    short_help="Register an agent and write its copy.",
    epilog="\b\nExamples:\n  socksfusion agent add acme\n"
    "  socksfusion agent add acme --scope 10.20.0.0/16,10.21.0.7 --expires 14d\n"
    "  socksfusion agent add acme --proxy [2001:db8::1]:8443 --out /tmp/acme.agent\n"
    "  socksfusion agent add acme --bundle acme.zip",
)
@click.argument("name")
@click.option("--proxy", metavar="HOST:PORT", help=f"{_PROXY_HELP}  [default: {_USUAL}]")
@click.option(
    "--scope", metavar="CIDR,...", type=Networks(), default=(), help=f"{_SCOPE_HELP}  [default: none was agreed]"
)
@click.option("--expires", metavar="TIME", type=Until(), help=f"{_EXPIRES_HELP}.  [default: never]")
@bundle_option
@executable_option
@_out_option
@state_option
def add(
    name: str,
    proxy: str | None,
    scope: tuple[str, ...],
    expires: float | None,
    bundle: Path | None,
    executable: Path | None,
    out: Path | None,
) -> None:
    """Register the agent NAME and write its copy: the one file that its machine needs.

    Prints the token that opens this agent to clients.

    NAME is 1 to 64 of the characters a-z A-Z 0-9 . _ -, the first a letter or digit.
    """
    check_outputs(bundle, out)
    state, secret = given_state().open(), mint_token()
    until = _moment(expires)
    with open_registry(state) as registry:
        registry.check_new(name)
        copy, issued = _mint(state, name, proxy, scope, until)
        path = _save(copy, out) if bundle is None else save_bundle(state, copy, executable, bundle)
        kept = copy.proxy if proxy is not None else None
        try:
            registry.add_agent(name, issued.digest, kept, token=token_digest(secret), scope=scope, expires=until)
        except RegistryError:
            path.unlink()
            raise
    if bundle is None:
        click.echo(f"Registered agent {name}; its copy for the Proxy at {copy.proxy} is {path}.")
        _tell_next(path)
    else:
        click.echo(f"Registered agent {name}.")
        tell_bundle(copy, path)
    tell_token(name, secret)


def _moment(span: float | None) -> float | None:
    """Whole Unix seconds, since the copy tells them to its second."""
    return None if span is None else float(int(time.time() + span))


@agent.command(
    short_help="Write a new copy for an agent.",
    epilog="\b\nExamples:\n  socksfusion agent renew acme --out acme-2.agent\n"
    "  socksfusion agent renew acme --scope none --expires 14d --out acme-2.agent\n"
    "  socksfusion agent renew acme --bundle acme-2.zip",
)
@click.argument("name", shell_complete=agent_names)
@click.option("--proxy", metavar="HOST:PORT", help=f"{_PROXY_HELP}  [default: the kept one, or {_USUAL}]")
@click.option(
    "--scope", metavar="CIDR,...|none", type=Networks(none=True), help=f"{_SCOPE_HELP}  [default: what was agreed last]"
)
@click.option("--expires", metavar="TIME|never", help=f"{_EXPIRES_HELP}, or never.  [default: as it was]")
@bundle_option
@executable_option
@_out_option
@state_option
def renew(
    name: str,
    proxy: str | None,
    scope: tuple[str, ...] | None,
    expires: str | None,
    bundle: Path | None,
    executable: Path | None,
    out: Path | None,
) -> None:
    """Write a new copy for the agent NAME.

    The older copy works until the new one first connects; then the older one is refused for good.
    """
    check_outputs(bundle, out)
    state = given_state().open()
    with open_registry(state) as registry:
        found = registry.agent(name)
        changes: dict[str, Any] = {} if scope is None else {"scope": scope}
        if expires is not None:
            changes["expires"] = _moment(Until().convert(expires, None, None))
        agreed = {"scope": found.scope, "expires": found.expires, **changes}
        copy, issued = _mint(state, name, found.proxy if proxy is None else proxy, **agreed)
        path = _save(copy, out) if bundle is None else save_bundle(state, copy, executable, bundle)
        try:
            registry.renew_agent(name, issued.digest, copy.proxy if proxy is not None else None, **changes)
        except RegistryError:
            path.unlink()
            raise
    if bundle is None:
        click.echo(f"The new copy of agent {name} for the Proxy at {copy.proxy} is {path}.")
    else:
        tell_bundle(copy, path)
    if found.revoked:
        click.echo(f"Agent {name} is revoked, and no copy of it works until: socksfusion agent restore {name}")
    else:
        click.echo("The older copy works until this one first connects.")
    if bundle is None:
        _tell_next(path)


def _mint(
    state: StateFolder, name: str, proxy: str | None, scope: tuple[str, ...], expires: float | None
) -> tuple[AgentCopy, Issued]:
    check_agent_name(name)
    addresses = parse_proxies(proxy) if proxy is not None else ((_usual_name(state), PROXY_PORT),)
    for host, _ in addresses:
        if host not in state.certificate_names():
            raise UsageError(f"the Proxy's certificate is not for {host}; add it by: socksfusion init --name {host}")
    issued = state.authority().issue_agent(name)
    pem = state.ca_pem(), issued.certificate_pem, issued.key_pem
    copy = AgentCopy(name, format_proxies(addresses), *pem, scope=scope, expires=expires)
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
    with open_registry() as registry:
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
@click.argument("name", shell_complete=agent_names)
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object instead.")
@state_option
def show(name: str, wants_json: bool) -> None:
    """Show the agent NAME with its keys."""
    with open_registry() as registry:
        served, found, keys = registry.is_served(), registry.agent(name), registry.agent_keys(name)
    if wants_json:
        click.echo(json.dumps(as_json(found, served, keys), indent=2))
    else:
        click.echo(as_lines(found, served, keys))


for command in (revoke, restore, remove, port, token, link, links):
    agent.add_command(command)
