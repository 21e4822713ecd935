"""The Agent put together: one carrier to its Proxy, and targets dialled as its policy allows."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.interfaces import IProtocol

from socksfusion import posix
from socksfusion.agent.agreed_end import AgreedEnd
from socksfusion.agent.backoff import Backoff
from socksfusion.agent.call import CallFactory
from socksfusion.agent.connector import Connector
from socksfusion.agent.control import Commands, Control, ControlFactory, control_path, pause_path
from socksfusion.agent.datagrams import Associations
from socksfusion.agent.dial import Dialler
from socksfusion.agent.live_line import LiveLine, is_terminal
from socksfusion.agent.messages import LineOutput, Messages
from socksfusion.agent.names import Resolver
from socksfusion.agent.network_changes import NetworkChanges
from socksfusion.agent.opens import Opens
from socksfusion.agent.policy import Policy
from socksfusion.agent.policy_file import PolicyFile, chosen_policy
from socksfusion.agent.service_manager import service_manager
from socksfusion.agent.source import chosen_sources
from socksfusion.agent.status import Status
from socksfusion.agent.switch import Switch
from socksfusion.agent.targets import TargetFactory
from socksfusion.agent.turns import Turns
from socksfusion.agent.ways import chosen_ways
from socksfusion.audit import Audit, AuditEntry, AuditWriter, open_audit
from socksfusion.errors import UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.tls import agent_context
from socksfusion.log import make_logger
from socksfusion.program import Program
from socksfusion.refusals import OverdueRefusals, Refusals
from socksfusion.tunnel.bandwidth import Bandwidth
from socksfusion.tunnel.liveness import Liveness
from socksfusion.tunnel.relay import join
from socksfusion.tunnel.stream import StreamAddress
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.yamux.session import Session
from socksfusion.wire.yamux.windows import ProcessBudget

_log = make_logger()


def build(program: Program) -> None:
    """Add the Agent's services to ``program``. Raises ``OperatorError`` for a copy file that can't be used."""
    options, reactor = program.options, program.reactor
    copy = AgentCopy.load(Path(options["copy"]))
    ways = chosen_ways(reactor, options, copy)
    live = _live_line(program)
    messages = _messages(program, live)
    sweeper = Sweeper(reactor, options["half-closed"])
    liveness = Liveness(reactor, ping_seconds=options["ping"], pings_missed=options["pings-missed"])
    refusals = Refusals(reactor.seconds)
    bandwidth = Bandwidth(reactor, options["bandwidth"]) if options["bandwidth"] is not None else None
    resolver = Resolver(reactor, reactor.callFromThread)
    sources = chosen_sources(options["source"])
    turns = Turns(reactor, at_once=options["dials"], streams=options["streams"], per_second=options["dials-per-second"])
    switch = Switch(reactor, pause_path(Path(options["copy"]), os.environ.get("STATE_DIRECTORY")))
    audit = _audit(program)
    opens = Opens(reactor.seconds, record=_recorder(audit, copy.agent), switch=switch)
    policy = _policy(program, copy)
    targets = TargetFactory(
        seconds=reactor.seconds,
        policy=policy,
        resolver=resolver,
        dialler=Dialler(reactor, sources=sources),
        turns=turns,
        messages=messages,
        refusals=refusals,
        join=partial(join, sweeper=sweeper, bandwidth=bandwidth),
        associations=lambda judge: Associations(reactor, judge, resolver, refusals, turns, sources, bandwidth),
        opens=opens,
    )
    switch.cut = opens.cut_all
    if copy.expires is not None:
        AgreedEnd(reactor, copy.expires, opens.reset_standing).setServiceParent(program)  # type: ignore[no-untyped-call]

    def build_target(peer: str) -> IProtocol:
        return targets.buildProtocol(StreamAddress(peer, 0))

    calls = CallFactory(
        reactor, ways[0].host, agent_context(copy), _session_maker(program), refusals, messages, build_target
    )
    connector = Connector(
        reactor,
        ways,
        calls,
        copy,
        messages,
        liveness,
        _leave(program),
        backoff=Backoff(
            options["reconnect-first"], options["reconnect-largest"], unregistered_seconds=options["unregistered-retry"]
        ),
        handshake_seconds=options["handshake"],
    )
    changes = NetworkChanges(reactor, connector.network_changed)
    switch.tell = connector.tell
    connector.greeted.append(switch.welcomed)
    status = Status(reactor, connector, switch, opens, policy)
    status.changed.append(messages.look)
    if live is not None:
        status.show_on(live)
    control = Control(
        reactor,
        control_path(options["control"], Path(options["copy"]), os.environ.get("RUNTIME_DIRECTORY")),
        ControlFactory(reactor, Commands(switch, status)),
        required=options["control"] is not None,
    )
    for service in (OverdueRefusals(reactor, refusals), sweeper, liveness, switch, status, connector, changes, control):
        service.setServiceParent(program)  # type: ignore[no-untyped-call]
    manager = service_manager(reactor)
    if manager is not None:
        manager.setServiceParent(program)  # type: ignore[no-untyped-call]
    if options["manhole"] is not None:
        _add_manhole(program, connector, refusals)


def _audit(program: Program) -> Audit | None:
    """The record, if there is one; it is written while the program runs, and to its last line at the end."""
    if program.options["audit"] is None:
        return None
    audit = open_audit(program.options["audit"], program.options.program)
    AuditWriter(program.reactor, audit).setServiceParent(program)  # type: ignore[no-untyped-call]
    return audit


def _recorder(audit: Audit | None, agent: str) -> Callable[[AuditEntry], None] | None:
    if audit is None:
        return None

    def record(entry: AuditEntry) -> None:
        entry.agent = agent
        audit.record(entry)

    return record


def _policy(program: Program, copy: AgentCopy) -> Policy:
    """What may be reached, and what of it was agreed, which the log tells at start."""
    options = program.options
    policy = chosen_policy(options, copy)
    if options["policy"] is not None:
        PolicyFile(program.reactor, Path(options["policy"]), policy).setServiceParent(program)  # type: ignore[no-untyped-call]
    _log.info("{agreed}", agreed=policy.agreed)
    return policy


def _live_line(program: Program) -> LiveLine | None:
    """The line under the log, where a person reads both."""
    if program.daemon or program.logs_elsewhere or program.options["log"] != "text" or not is_terminal(sys.stderr):
        return None
    live = LiveLine(sys.stderr, takes_more=partial(posix.takes_more, sys.stderr.fileno()))
    program.log_output = live
    program.step_aside = live.end
    return live


def _messages(program: Program, live: LiveLine | None) -> Messages:
    """The seven lines: on the real standard output, or, for a daemon, in the log."""
    if program.daemon:
        return Messages(lambda line: _log.info("{message}", message=line.rstrip("\n")))
    # twistd captures sys.stdout for its log
    stdout = sys.__stdout__
    if stdout is None:
        return Messages(lambda line: None)
    write = LineOutput(stdout.fileno()).write
    return Messages(live.around(write) if live is not None and is_terminal(stdout) else write)


def _session_maker(program: Program) -> Callable[[float], Session]:
    options = program.options
    budget = ProcessBudget(growth=options["process-growth"], unread=options["process-unread"])

    def make(now: float) -> Session:
        return Session(client=False, now=now, budget=budget, stream_window=options["stream-window"])

    return make


def _leave(program: Program) -> dict[str, "partial[None]"]:
    """The refusals that end the program, each with its exit code."""
    replaced = "a newer copy of this agent was verified: run that one, and delete this"
    unknown = "this agent is not registered: ask the Proxy's operator"
    leave = {"replaced": partial(program.end, ExitCode.REPLACED, replaced)}
    if program.options["exit-if-unregistered"]:
        leave["unknown"] = partial(program.end, ExitCode.NOT_REGISTERED, unknown)
    return leave


def _add_manhole(program: Program, connector: Connector, refusals: Refusals) -> None:
    try:
        from socksfusion.agent.inspection import Inspection
        from socksfusion.manhole.service import manhole_service
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("socksfusion."):
            raise UsageError("--manhole: this build of the Agent has none; install the package for one")
        raise ModuleNotFoundError(f"--manhole: {error}") from error
    options = program.options
    inspection = Inspection(connector)
    manhole_service(
        program.reactor,
        options["manhole"],
        {"agents": inspection.agents, "streams": inspection.streams, "agent": connector},
        Path(options["authorized-keys"]),
        Path(options["manhole-host-key"]),
        "SocksFusion Agent. At hand: agents(), streams(), agent",
        refusals,
    ).setServiceParent(program)
