"""`socksfusion agent …`: shut an agent out, forget it, and say how clients reach it."""

import click

from socksfusion.cli.completion import agent_names
from socksfusion.cli.listening import is_free
from socksfusion.cli.state_option import open_registry, state_option
from socksfusion.errors import UsageError
from socksfusion.identity.tokens import mint_token, token_digest


@click.command(short_help="Shut an agent out.", epilog="\b\nExample:\n  socksfusion agent revoke acme")
@click.argument("name", shell_complete=agent_names)
@state_option
def revoke(name: str) -> None:
    """Shut the agent NAME out: its session ends, and its copy is refused until `agent restore`."""
    with open_registry() as registry:
        changed = registry.revoke_agent(name)
    if changed:
        click.echo(f"Agent {name} is revoked; undo it by: socksfusion agent restore {name}")
    else:
        click.echo(f"Agent {name} was revoked already; nothing was changed.")


@click.command(short_help="Undo revoke.", epilog="\b\nExample:\n  socksfusion agent restore acme")
@click.argument("name", shell_complete=agent_names)
@state_option
def restore(name: str) -> None:
    """Undo `agent revoke`: the agent's copy is let in again."""
    with open_registry() as registry:
        changed = registry.restore_agent(name)
    if changed:
        click.echo(
            f"Agent {name} may connect again; a running Agent tries within some minutes, or at once if restarted."
        )
    else:
        click.echo(f"Agent {name} was not revoked; nothing was changed.")


@click.command(short_help="Forget an agent.", epilog="\b\nExample:\n  socksfusion agent remove acme")
@click.argument("name", shell_complete=agent_names)
@state_option
def remove(name: str) -> None:
    """Forget the agent NAME, its keys and clients' rights to it. It can't be undone: its copy never works again.

    Refused while a scan of it runs. The records of its scans stay.
    """
    with open_registry() as registry:
        registry.remove_agent(name)
    click.echo(f"Agent {name} is removed; what its scans found stays: socksfusion scan list --agent {name}")


@click.command(short_help="Make a new token for an agent.", epilog="\b\nExample:\n  socksfusion agent token acme")
@click.argument("name", shell_complete=agent_names)
@state_option
def token(name: str) -> None:
    """Make a new token that opens the agent NAME to clients; the one before opens nothing any more."""
    secret = mint_token()
    with open_registry() as registry:
        registry.set_token(name, token_digest(secret))
    tell_token(name, secret)


def tell_token(name: str, secret: str) -> None:
    """Print an agent's token: the only time that anybody sees it."""
    click.echo(f"The token for clients of agent {name}: {secret}")
    click.echo(f"It is shown this once. Where a login is asked for, it is the password of the user {name}.")


@click.command(
    short_help="Give an agent a SOCKS port of its own.",
    epilog="\b\nExamples:\n  socksfusion agent port acme 1081\n  socksfusion agent port acme none",
)
@click.argument("name", shell_complete=agent_names)
@click.argument("port", metavar="PORT|none")
@state_option
def port(name: str, port: str) -> None:
    """Give the agent NAME a SOCKS port of its own; `none` takes it away.

    The port stays this agent's, connected or not, until it is taken away. One that a scan or another program on
    127.0.0.1 has is refused; the Proxy's log says if it can't be opened later.
    """
    number = _port(port)
    with open_registry() as registry:
        if number is not None and registry.agent(name).port != number and not is_free(number):
            # what the registry knows of it says more
            registry.check_port(name, number)
            raise UsageError(f"another program has port {number} on 127.0.0.1; free it, or take another")
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
