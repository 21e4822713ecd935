"""Run in a network namespace of its own (``unshare --net``): real targets of every kind, and what the Agent answers.

Prints a JSON object: case → {"reply", "detail", "seconds", "printed"}. The other end of a veth pair is a second
namespace with a listener at 8080, one at 8082 that resets what it accepts, and nothing that forwards packets.
"""

import json
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults

from socksfusion.agent.datagrams import Associations
from socksfusion.agent.dial import Dialler
from socksfusion.agent.messages import Messages
from socksfusion.agent.names import Resolver
from socksfusion.agent.policy import Policy
from socksfusion.agent.targets import TargetFactory
from socksfusion.agent.turns import Turns
from socksfusion.refusals import Refusals
from socksfusion.wire.messages import encode
from socksfusion.wire.requests import ConnectRequest
from tests.agent.fake_stream import FakeStream
from tests.links import wait_for_neighbour

reactor: Any = _reactor

FAR_END = """
import socket, struct, sys, threading
def listen(port):
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
def reset_all(listener):
    while True:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
keeps, resets = listen(8080), listen(8082)
threading.Thread(target=reset_all, args=(resets,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
NEAR = [
    "link set lo up",
    "addr add 192.0.2.1/24 dev near",
    "addr add 2001:db8::1/64 dev near nodad",
    "link set near up",
    "route add 198.51.100.0/24 via 192.0.2.2",
    "route add prohibit 203.0.113.0/26",
    "route add unreachable 203.0.113.64/26",
]
FAR = ["addr add 192.0.2.2/24 dev far", "addr add 2001:db8::2/64 dev far nodad", "link set far up"]
SYSCTL = Path("/proc/sys/net/ipv4")


def ip(command: str, *before: str) -> None:
    subprocess.run([*before, "ip", *command.split()], check=True)


def set_up() -> "subprocess.Popen[str]":
    far = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", FAR_END],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert far.stdout is not None
    assert far.stdout.readline() == "ready\n"
    ip(f"link add near type veth peer name far netns {far.pid}")
    for command in NEAR:
        ip(command)
    for command in FAR:
        ip(command, "nsenter", "--net", f"--target={far.pid}")
    for address in ("192.0.2.2", "2001:db8::2"):
        wait_for_neighbour(address)
    # a neighbour that does not answer is given up after one try, a silent host after two packets
    (SYSCTL / "neigh/near/mcast_solicit").write_text("1")
    (SYSCTL / "tcp_syn_retries").write_text("1")
    return far


class AnsweredStream(FakeStream):
    """Fires ``answered`` when the reply is written."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: Deferred[None] = Deferred()

    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]
        self.answered.callback(None)


class Agent:
    """The Agent's targets, over the real reactor, resolver and policy."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.kept: list[Any] = []
        resolver = Resolver(reactor, reactor.callFromThread)
        refusals = Refusals(reactor.seconds)
        turns = Turns(reactor)
        self.factory = TargetFactory(
            seconds=reactor.seconds,
            policy=Policy(),
            resolver=resolver,
            dialler=Dialler(reactor),
            turns=turns,
            messages=Messages(self.lines.append),
            refusals=refusals,
            join=lambda target, _stream: self.kept.append(target),
            associations=lambda judge: Associations(reactor, judge, resolver, refusals, turns),
        )

    async def ask(self, case: str, host: str, port: int, timeout: float = 10) -> None:
        stream = AnsweredStream()
        stream.protocol = self.factory.buildProtocol(None)
        stream.protocol.makeConnection(stream)
        begun = reactor.seconds()
        stream.protocol.dataReceived(encode(ConnectRequest(host=host, port=port, timeout=timeout)))
        await stream.answered
        reply = stream.reply()
        shown = f"[{host}]" if ":" in host else host
        # the line is written in the same turn as the reply, just after it
        await _next_turn()
        self.results[case] = {
            "reply": reply.reply,
            "detail": reply.detail,
            "seconds": reactor.seconds() - begun,
            "printed": any(line.endswith(f"Target is unreachable: {shown}:{port}\n") for line in self.lines),
        }


def _next_turn() -> "Deferred[None]":
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)
    return turn


async def run(agent: Agent) -> None:
    ask = agent.ask
    together: list[Coroutine[Any, Any, None]] = [
        ask("accepts", "192.0.2.2", 8080),
        ask("accepts over IPv6", "2001:db8::2", 8080),
        ask("accepts and resets", "192.0.2.2", 8082),
        ask("refuses", "192.0.2.2", 81),
        ask("refuses over IPv6", "2001:db8::2", 81),
        ask("silent, our limit", "198.51.100.1", 80, timeout=0.5),
        ask("silent, the kernel's limit", "198.51.100.2", 80),
        ask("no such neighbour", "192.0.2.99", 80),
        ask("unreachable route", "203.0.113.65", 80),
        ask("no route", "203.0.113.200", 80),
        ask("prohibited route", "203.0.113.1", 80),
        ask("unknown name", "nowhere.invalid", 80),
        ask("loopback", "127.0.0.1", 80),
        ask("loopback by name", "127.1", 80),
        ask("own address", "192.0.2.1", 80),
        ask("own IPv6 address", "2001:db8::1", 80),
        ask("own network's broadcast", "192.0.2.255", 80),
        ask("not yet own", "192.0.2.77", 79, timeout=0.5),
    ]
    await gatherResults([Deferred.fromCoroutine(case) for case in together])
    ip("addr add 192.0.2.77/24 dev near")
    await ask("own since a moment ago", "192.0.2.77", 80)
    (SYSCTL / "ip_nonlocal_bind").write_text("1")
    await ask("foreign, foreign binds allowed", "192.0.2.2", 8080)
    await ask("own, foreign binds allowed", "192.0.2.1", 80)
    (SYSCTL / "ip_local_port_range").write_text("40000 40000")
    await ask("the last local port", "192.0.2.2", 8080)
    await ask("no local port", "192.0.2.2", 8080)


def main() -> None:
    far = set_up()
    agent = Agent()
    failures: list[Any] = []

    def begin() -> None:
        done = Deferred.fromCoroutine(run(agent))
        done.addErrback(failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    try:
        reactor.run()
    finally:
        far.communicate("")
    for failure in failures:
        failure.raiseException()
    print(json.dumps(agent.results))


if __name__ == "__main__":
    main()
