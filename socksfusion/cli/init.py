"""`socksfusion init`: the state folder."""

from pathlib import Path

import click

from socksfusion.cli.state_option import given_state, state_option, to_type
from socksfusion.identity.state import StateFolder
from socksfusion.registry.store import Registry

_EXAMPLES = """\b
Examples:
  socksfusion init --state /var/lib/socksfusion --name proxy.example.org
  socksfusion init --name proxy.example.org --name 192.0.2.1
"""


@click.command(short_help="Make the state folder.", epilog=_EXAMPLES)
@click.option(
    "--name",
    "names",
    metavar="HOST",
    multiple=True,
    help="A host name or IP address by which agents reach the Proxy; may be repeated. The first one given is the "
    "address in agents' copies.",
)
@state_option
def init(names: tuple[str, ...]) -> None:
    """Make the state folder: authority, the Proxy's certificate, registry, the manhole's host key.

    In a folder that is complete it changes nothing, except that a new --name is added to the Proxy's certificate.
    """
    state = given_state()
    if state.exists:
        _extend(state.open(), names)
    else:
        state.create(names, _make_registry)
        click.echo(f"Made the state folder {state.path}. Keep a backup of it, as secret as the folder itself.")
        _tell_names(state)
        _tell_next(state)


def _make_registry(path: Path) -> None:
    Registry.create(path).close()


def _extend(state: StateFolder, names: tuple[str, ...]) -> None:
    added = state.add_names(names)
    if not added:
        click.echo(f"The state folder {state.path} is complete; nothing was changed.")
        _tell_names(state)
        return
    click.echo(
        f"Added {', '.join(added)}; the Proxy's certificate was issued anew. Agents' copies stay valid; a running "
        "Proxy takes it up within an hour."
    )
    _tell_names(state)


def _tell_names(state: StateFolder) -> None:
    click.echo(f"The Proxy is called: {', '.join(state.certificate_names())}")


def _tell_next(state: StateFolder) -> None:
    address = "" if state.names() else " --proxy HOST:PORT"
    click.echo("Next, type:")
    click.echo(f"  {to_type(state, 'socksfusion', f'agent add NAME{address}')}    # a copy for an agent")
    click.echo(f"  {to_type(state, 'twistd -n --pidfile= socksfusion-proxy', '').rstrip()}    # start the Proxy")
