"""`socksfusion scan …`: spans in which an agent is used, and what each of them found."""

import json
import os
import pwd
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from socksfusion import limits
from socksfusion.cli import scan_report
from socksfusion.cli.completion import agent_names, running_scan_ids, scan_ids
from socksfusion.cli.listening import is_free
from socksfusion.cli.parameters import PORT, Duration, examples, narrowing_option
from socksfusion.cli.scan_targets import hosts_of, ports_of
from socksfusion.cli.scan_watch import watch as watch_scan
from socksfusion.cli.state_option import open_registry, state_option
from socksfusion.cli.tables import moment
from socksfusion.errors import UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.tokens import mint_token, token_digest
from socksfusion.log import printable
from socksfusion.registry.schema import Scan
from socksfusion.registry.store import Registry

_examples = partial(examples, "scan")
_PORTS = f"the first free one of {limits.SCAN_PORT_FIRST}-{limits.SCAN_PORT_LAST}"
# what a running Proxy knows of a scan when it hears that it was stopped is written after these two
_LAST_NOTES_SECONDS = limits.REGISTRY_POLL_SECONDS + limits.REGISTRY_WRITE_SECONDS + 0.5


@click.group(short_help="Start scans, and read what they found.")
def scan() -> None:
    """Start and stop scans, and read what each of them found, and what it could not test.

    A scan also begins by itself with the first connection to an agent that has none; it ends when it was idle for
    long. All of these commands work while the Proxy runs and while it doesn't.
    """


@scan.command(
    short_help="Start a scan with a port of its own.",
    epilog=_examples("start acme", "start acme --for 2h --allow 10.20.0.0/16 --connect-timeout 3s"),
)
@click.argument("agent", shell_complete=agent_names)
@click.option("--port", type=PORT, metavar="PORT", help=f"The scan's own SOCKS port.  [default: {_PORTS}]")
@click.option("--for", "span", metavar="TIME", type=Duration(), help="Such as 2h.  [default: until it is stopped]")
@narrowing_option
@click.option(
    "--connect-timeout",
    metavar="TIME",
    type=Duration(largest=limits.CONNECT_LARGEST_SECONDS),
    help="How long a target has to answer, such as 3s.  [default: the Proxy's --connect-timeout]",
)
@click.option(
    "--hold",
    metavar="TIME",
    type=Duration(zero=True, largest=limits.HOLD_LARGEST_SECONDS),
    help="How long a connection waits for an agent that is reconnecting, such as 20s.  [default: the Proxy's --hold]",
)
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object instead.")
@state_option
def start(
    agent: str,
    port: int | None,
    span: float | None,
    allow: tuple[str, ...],
    connect_timeout: float | None,
    hold: float | None,
    wants_json: bool,
) -> None:
    """Start a scan of the agent AGENT; print its port and its token.

    The port works while the scan runs; then it is kept for 30 days from scans of other agents.
    """
    now, token = time.time(), mint_token()
    if port is not None and not is_free(port):
        raise UsageError(f"port {port} on 127.0.0.1 is in use, by an agent, a scan or another program; take another")
    wanted = Scan(
        secrets.token_hex(8),
        agent,
        now,
        None,
        now,
        kind="explicit",
        by=_user(),
        port=port,
        token=token_digest(token),
        until=None if span is None else now + span,
        allow=allow,
        connect_timeout=connect_timeout,
        hold=hold,
    )
    with open_registry() as registry:
        begun = registry.scans.start(wanted, _usable_ports())
        served = registry.is_served()
    if wants_json:
        known = {"id": begun.id, "agent": agent, "port": begun.port, "token": token, "until": moment(begun.until)}
        click.echo(json.dumps(known, indent=2))
        return
    click.echo(f"Scan {begun.id} of agent {agent} runs until {moment(begun.until) or 'it is stopped'}.")
    click.echo(f"Its port: {begun.port}; clients use it as SOCKS5 proxy 127.0.0.1:{begun.port}.")
    click.echo(f"Its token: {token}")
    click.echo(f"Where a login is asked for, it is the password of the user {agent}. It is shown this once.")
    if not served:
        click.echo("No Proxy works with this state folder now; the port opens when one does.")


def _usable_ports() -> Iterator[int]:
    return filter(is_free, range(limits.SCAN_PORT_FIRST, limits.SCAN_PORT_LAST + 1))


def _user() -> str:
    """Who types: behind sudo the person, not the account that owns the state folder."""
    person = os.environ.get("SUDO_USER")
    if person:
        return printable(person)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@contextmanager
def _open() -> Iterator[Registry]:
    with open_registry() as registry:
        if not registry.is_served():
            registry.scans.end_overdue()
        yield registry


@scan.command("list", short_help="Show all scans.", epilog=_examples("list", "list --agent acme --running --json"))
@click.option("--agent", metavar="NAME", shell_complete=agent_names, help="Only scans of this agent.")
@click.option("--running", is_flag=True, help="Only scans that run now.")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array instead of a table.")
@state_option
def list_(agent: str | None, running: bool, wants_json: bool) -> None:
    """Show all scans, the newest first, with what they found."""
    with _open() as registry:
        found = [one for one in registry.scans.list(agent) if one.ended is None or not running]
        totals = registry.scans.totals()
    pairs = [(one, totals[one.id]) for one in found if one.id in totals]
    if wants_json:
        click.echo(json.dumps([scan_report.as_json(*pair) for pair in pairs], indent=2))
    elif pairs:
        click.echo(scan_report.as_table(pairs))
    else:
        click.echo("There are no such scans; start one by: socksfusion scan start AGENT")


@scan.command(
    short_help="Show what a scan found.",
    epilog=_examples("show 0123456789abcdef --gaps", "show 0123456789abcdef --targets >again.txt"),
)
@click.argument("id_", metavar="ID", shell_complete=scan_ids)
@click.option("--gaps", is_flag=True, help="Also each span without a carrier, and what was cut or not tested in it.")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object instead.")
@click.option(
    "--targets", is_flag=True, help="Print only the hosts that were cut or not tested, as `nmap -iL` reads them."
)
@state_option
def show(id_: str, gaps: bool, wants_json: bool, targets: bool) -> None:
    """Show the scan ID: who began it, when, and how its connections ended.

    The exit code is 3 where anything was cut or not tested. (It is 3 too where the state folder can't be used; only
    then a line on standard error begins with "socksfusion:".)
    """
    if targets and (gaps or wants_json):
        raise UsageError("give --targets alone")
    with _open() as registry:
        _show(registry, id_, gaps=gaps, wants_json=wants_json, targets=targets)


@scan.command(short_help="Stop a scan.", epilog=_examples("stop 0123456789abcdef"))
@click.argument("id_", metavar="ID", shell_complete=running_scan_ids)
@state_option
def stop(id_: str) -> None:
    """Stop the scan ID: its connections end within a second, its port is closed. Shows what it found, as `scan show`.

    The exit code is 3 where anything was cut or not tested, as with `scan show`.
    """
    with _open() as registry:
        registry.scans.get(id_)
        if not registry.scans.end(id_, time.time(), "stopped"):
            click.echo(f"Scan {id_} had ended already; nothing was changed.")
        elif registry.is_served():
            time.sleep(_LAST_NOTES_SECONDS)
        _show(registry, id_)


def _show(registry: Registry, id_: str, *, gaps: bool = False, wants_json: bool = False, targets: bool = False) -> None:
    found, totals = registry.scans.get(id_), registry.scans.totals(id_)[id_]
    spans, untested = registry.scans.gaps(id_), registry.scans.untested(id_) if gaps or targets else ()
    if targets:
        hosts, strange = hosts_of(untested)
        click.echo("".join(f"{host}\n" for host in hosts), nl=False)
        for line in scan_report.about_targets(hosts, ports_of(untested), strange, totals, len(untested)):
            click.echo(line, err=True)
    elif wants_json:
        detail = (spans, untested) if gaps else None
        click.echo(json.dumps(scan_report.as_json(found, totals, detail), indent=2))
    else:
        click.echo(scan_report.as_lines(found, totals, len(spans)))
        if gaps:
            click.echo(scan_report.gaps_as_lines(spans, untested, totals))
    if totals.incomplete:
        click.get_current_context().exit(ExitCode.NOT_TESTED)


@scan.command(short_help="Forget old scans.", epilog=_examples("prune --older-than 90d"))
@click.option(
    "--older-than",
    metavar="TIME",
    type=Duration(zero=True),
    default="30d",
    show_default=True,
    help="How long ago a scan must have ended.",
)
@state_option
def prune(older_than: float) -> None:
    """Forget scans that ended long ago, with all that they found. Their ports stay reserved."""
    with _open() as registry:
        count = registry.scans.prune(time.time() - older_than)
    click.echo(f"Forgot {count} scan{'' if count == 1 else 's'}.")


@scan.command(short_help="Follow a scan.", epilog=_examples("watch 0123456789abcdef"))
@click.argument("id_", metavar="ID", shell_complete=running_scan_ids)
@state_option
def watch(id_: str) -> None:
    """Show a live line of the scan ID until it ends: its streams, opens a second, and how they ended.

    On a terminal the line is written over; otherwise there is a line for each change.
    """
    with _open() as registry:
        watch_scan(registry, id_)
