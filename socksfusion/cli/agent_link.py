"""`socksfusion agent link` and `agent links`: one-time links, by which an agent's next copy is downloaded."""

import getpass
import json
import time
from typing import Any

import click

from socksfusion import limits
from socksfusion.cli.completion import agent_names
from socksfusion.cli.parameters import Duration, examples
from socksfusion.cli.state_option import given_state, open_registry, state_option
from socksfusion.cli.tables import as_columns, moment
from socksfusion.durations import format_duration
from socksfusion.errors import UsageError
from socksfusion.identity.names import PROXY_PORT, format_proxies, parse_proxies
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tokens import mint_token, token_digest
from socksfusion.registry.schema import Link


@click.command(
    short_help="Make a one-time link to an agent's next copy.",
    epilog=examples("agent", "link acme", "link acme --for 2h", "link acme --site https://get.example.org:8443"),
)
@click.argument("name", shell_complete=agent_names)
@click.option(
    "--for",
    "span",
    metavar="TIME",
    type=Duration(largest=limits.LINK_LARGEST_SECONDS),
    default=format_duration(limits.LINK_SECONDS),
    show_default=True,
    help="How long it may be used, from now on.",
)
@click.option(
    "--site",
    metavar="https://HOST[:PORT]",
    help="Where browsers find the link site.  [default: the Proxy's address that the copy has]",
)
@state_option
def link(name: str, span: float, site: str | None) -> None:
    """Make a one-time HTTPS link by which the agent NAME's next copy is downloaded, and print it.

    Where a release was imported, its page offers the whole bundle too; the link gives one of the two.

    The running Proxy serves it, on the port that agents connect to. The copy is made when the page's button is
    pressed, and takes the older one's place when it first connects.
    """
    state, secret = given_state().open(), mint_token()
    with open_registry(state) as registry:
        proxy = registry.agent(name).proxy or _usual(state)
        address = _site(proxy) if site is None else _checked(site)
        expires = time.time() + span
        registry.links.add(token_digest(secret), name, proxy, getpass.getuser(), expires)
    click.echo(f"{address}/link/{secret}")
    click.echo(
        f"Whoever has it first gets the copy of agent {name}, once, until {moment(expires)}: "
        "send it by a way that nobody else can read.",
        err=True,
    )


def _usual(state: StateFolder) -> str:
    names = state.names()
    if not names:
        raise UsageError("no address is known for its copies: socksfusion init --name HOST, or agent renew --proxy")
    return format_proxies(((names[0], PROXY_PORT),))


def _site(proxy: str) -> str:
    host, port = parse_proxies(proxy)[0]
    host = f"[{host}]" if ":" in host else host
    return f"https://{host}" if port == PROXY_PORT else f"https://{host}:{port}"


def _checked(site: str) -> str:
    if not site.startswith("https://") or len(site) == len("https://"):
        raise UsageError("--site is an address such as https://get.example.org")
    return site.rstrip("/")


@click.command(
    short_help="Show or revoke one-time links.",
    epilog=examples("agent", "links", "links acme --json", "links --revoke 0f3a9c1b2d4e"),
)
@click.argument("name", required=False, shell_complete=agent_names)
@click.option("--revoke", metavar="LINK", help="Forget this link: it leads nowhere from now on.")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array instead of a table.")
@state_option
def links(name: str | None, revoke: str | None, wants_json: bool) -> None:
    """Show the links that were made, or those for the agent NAME: open, used or expired. Their secrets are not kept."""
    with open_registry() as registry:
        if revoke is not None:
            gone = registry.links.revoke(revoke)
            after = "; its copy was downloaded already" if gone.used is not None else ""
            click.echo(f"Link {gone.id} to a copy of agent {gone.agent} is gone{after}.")
            return
        found = registry.links.list(name)
    if wants_json:
        click.echo(json.dumps([_as_json(one) for one in found], indent=2))
    elif found:
        rows = [(one.id, one.agent, _state(one), one.by, moment(one.expires) or "") for one in found]
        click.echo(as_columns(("LINK", "AGENT", "STATE", "BY", "UNTIL"), rows))
    else:
        click.echo("There are no links; make one by: socksfusion agent link NAME")


def _as_json(link: Link) -> dict[str, Any]:
    return {
        "link": link.id,
        "agent": link.agent,
        "proxy": link.proxy,
        "state": _state(link),
        "by": link.by,
        "created": moment(link.created),
        "expires": moment(link.expires),
        "used": moment(link.used),
    }


def _state(link: Link) -> str:
    if link.used is not None:
        return "used"
    return "open" if time.time() < link.expires else "expired"
