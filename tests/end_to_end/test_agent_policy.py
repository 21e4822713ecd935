"""What the Agent's admin says it may reach: a file that counts without a restart, the agreed scope, and `explain`."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from socksfusion.exit_codes import ExitCode
from socksfusion.identity.state import StateFolder
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, socks_open
from tests.end_to_end.programs import Installation, Program
from tests.end_to_end.raw_agent import DATA, SYN, frame, record
from tests.end_to_end.raw_proxy import RawProxy

PROGRAM = "from socksfusion.cli.agent_program import main; main()"


@pytest.fixture
def targets() -> Iterator[list[Target]]:
    with ExitStack() as opened:
        yield [opened.enter_context(Target(echo)) for _ in range(2)]


def write(file: Path, *lines: str) -> None:
    """As an editor does it: another file takes the name."""
    new = file.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.chmod(0o644)
    new.rename(file)


def reply(installed: Installation, host: str, port: int) -> int:
    code, client = socks_open(installed.clients_port, host, port)
    client.close()
    return code


def explain(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run(folder, "explain", *arguments)


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=30, check=False)


def with_policy(installed: Installation, *lines: str) -> tuple[Program, Path]:
    """A Proxy, and an Agent under a policy file."""
    file = installed.folder / "agent.policy"
    write(file, *lines)
    copy = installed.add_agent("demo")
    installed.start_proxy()
    return installed.start_agent(copy, "--policy", str(file), allow=()), file


def test_a_change_of_the_policy_counts_without_a_restart(installed: Installation, targets: list[Target]) -> None:
    first, second = (target.port for target in targets)
    agent, file = with_policy(installed, f"allow 127.0.0.1 port {first}")
    with socks_connect(installed.clients_port, "127.0.0.1", first) as client:
        assert reply(installed, "127.0.0.1", second) == 2
        since = len(agent.log)
        write(file, f"allow 127.0.0.1 port {second}")
        agent.wait_log("policy: 1 rules of", since=since)
        assert reply(installed, "127.0.0.1", second) == 0
        assert reply(installed, "127.0.0.1", first) == 2
        client.sendall(b"what stands goes on")
        assert receive_exactly(client, 19) == b"what stands goes on"
    assert any("rule=policy: own host" in line for line in agent.log)


def test_a_policy_that_breaks_stays_as_it_was_and_says_so(installed: Installation, targets: list[Target]) -> None:
    first, second = (target.port for target in targets)
    agent, file = with_policy(installed, f"allow 127.0.0.1 port {first}")
    write(file, f"allow 127.0.0.1 port {second}", "alow any")
    told = agent.wait_log("the policy stays as it was")
    assert f"{file} line 2: 'alow any' is no rule; write it like: allow 10.20.0.0/16" in told
    assert (reply(installed, "127.0.0.1", first), reply(installed, "127.0.0.1", second)) == (0, 2)
    shown = run(installed.folder, "status", "--copy", "demo.agent").stdout
    assert "policy trouble: " in shown
    assert f"{file} line 2: 'alow any' is no rule" in shown
    write(file, f"allow 127.0.0.1 port {second}", "deny any")
    agent.wait_log("policy: 2 rules of")
    assert (reply(installed, "127.0.0.1", first), reply(installed, "127.0.0.1", second)) == (2, 0)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("alow any\n", 0o644, "line 1: 'alow any' is no rule"),
        ("allow any\n", 0o666, "others can change"),
        (None, 0, "can't read the policy file"),
    ],
    ids=["broken", "open to others", "missing"],
)
def test_a_broken_policy_is_no_start(installed: Installation, text: str | None, mode: int, said: str) -> None:
    copy = installed.add_agent("demo")
    file = installed.folder / "agent.policy"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    agent = installed.start_agent(copy, "--policy", str(file), allow=(), serving=False)
    assert agent.wait_exit() == ExitCode.USAGE
    assert agent.out == []
    (line,) = [line for line in agent.log if line.startswith("socksfusion-agent: ")]
    assert said in line
    assert str(file) in line


def with_scope(installed: Installation, *agreed: str) -> Path:
    """The copy of an agent for which networks were agreed."""
    copy = installed.folder / "demo.agent"
    proxy = f"localhost:{installed.agents_port}"
    installed.admin("agent", "add", "demo", "--proxy", proxy, "--out", str(copy), *agreed)
    return copy


def test_the_scope_holds_whatever_the_admins_rules_allow(installed: Installation, targets: list[Target]) -> None:
    copy = with_scope(installed, "--scope", "127.0.0.1,192.0.2.0/24", "--expires", "14d")
    installed.start_proxy()
    agent = installed.start_agent(copy, allow=("127.0.0.0/8",))
    assert any("agreed scope: 127.0.0.1/32, 192.0.2.0/24; until 20" in line for line in agent.log)
    with Target(echo, "127.0.0.2", targets[0].port) as beyond:
        assert reply(installed, "127.0.0.1", targets[0].port) == 0
        assert reply(installed, "127.0.0.2", beyond.port) == 2
        assert beyond.accepted == 0
    agent.wait_log("rule=policy: outside the agreed scope")


def test_no_message_of_a_proxy_widens_the_scope(installed: Installation, targets: list[Target]) -> None:
    copy = with_scope(installed, "--scope", "127.0.0.1")
    with RawProxy(StateFolder(installed.state)) as proxy:
        installed.start_agent(copy, "--proxy", f"localhost:{proxy.port}", allow=("127.0.0.0/8",), serving=False)
        with Target(echo, "127.0.0.2", targets[0].port) as beyond, proxy.welcome() as peer:
            asked = [
                ("127.0.0.1", [], 0),
                ("127.0.0.2", [], 2),
                ("127.0.0.2", ["0.0.0.0/0", "127.0.0.2", "::/0"], 2),
                ("127.0.0.1", ["127.0.0.2"], 2),
                ("127.0.0.1", ["everything"], 1),
            ]
            for number, (host, allow, code) in enumerate(asked):
                stream = 3 + 2 * number
                request = {"type": "connect", "host": host, "port": beyond.port, "timeout": 5.0, "allow": allow}
                # what no version of the protocol has
                body = record({**request, "scope": ["0.0.0.0/0"], "policy": "allow any"})
                peer.send(frame(DATA, SYN, stream, len(body), body))
                assert peer.next_record(stream)["reply"] == code, (host, allow)
            assert beyond.accepted == 0


def test_what_was_agreed_is_over_at_its_end(installed: Installation, targets: list[Target]) -> None:
    copy = with_scope(installed)
    # the registry would turn the Agent away; its own copy is enough
    text = copy.read_text().replace("ca = ", "expires = 2026-01-01T00:00:00Z\nca = ", 1)
    copy.write_text(text)
    installed.start_proxy()
    agent = installed.start_agent(copy)
    assert reply(installed, "127.0.0.1", targets[0].port) == 2
    agent.wait_log("rule=policy: the agreed time is over")


def test_explain_says_what_the_agent_does(installed: Installation, targets: list[Target]) -> None:
    port = targets[0].port
    file = installed.folder / "agent.policy"
    write(file, f"deny 127.0.0.3 port {port}", "allow localhost in 127.0.0.1", f"allow 127.0.0.0/30 port {port}")
    copy = with_scope(installed, "--scope", "127.0.0.0/16")
    installed.start_proxy()
    installed.start_agent(copy, "--policy", str(file), allow=())
    asked = ["127.0.0.1", "127.0.0.3", "127.0.0.9", "127.1.0.1", "localhost", "127.1", "0.0.0.0"]
    for host in asked:
        done = explain(installed.folder, f"{host}:{port}", "--copy", str(copy), "--policy", str(file))
        assert done.stdout.startswith("agreed scope: 127.0.0.0/16\n"), done
        expected = {ExitCode.NORMAL: 0, ExitCode.DENIED: 2}[ExitCode(done.returncode)]
        assert reply(installed, host, port) == expected, done.stdout
    done = explain(installed.folder, f"127.0.0.3:{port}", "--policy", str(file))
    assert f"127.0.0.3 port {port}: denied (policy line 1: deny 127.0.0.3 port {port})" in done.stdout
    done = explain(installed.folder, f"localhost:{port}", "--policy", str(file))
    assert f"127.0.0.1 port {port}: would be dialled (policy line 2: allow localhost in 127.0.0.1)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["192.0.2.1:80", "--policy", "none.policy"], 2, "can't read the policy file"),
        (["192.0.2.1:80", "--copy", "none.agent"], 3, "none.agent"),
        (["192.0.2.1"], 2, "192.0.2.1 is no HOST:PORT"),
        ([], 2, "explain needs one HOST:PORT"),
        (["nowhere.invalid:80"], 1, "nowhere.invalid can't be looked up here"),
    ],
)
def test_explain_says_what_is_wrong(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = explain(tmp_path, *arguments)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("socksfusion-agent: ")
    assert said in line


def test_the_agent_dials_from_its_source(installed: Installation) -> None:
    seen: list[str] = []

    def look(connection: socket.socket) -> None:
        seen.append(connection.getpeername()[0])

    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy, "--source", "127.0.0.9")
    with Target(look) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        assert client.recv(1) == b""
    assert seen == ["127.0.0.9"]
