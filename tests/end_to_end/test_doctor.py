"""``socksfusion-agent doctor`` with everything real that can be wrong on an Agent's way, from its copy to a target."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from socksfusion.exit_codes import ExitCode
from socksfusion.identity.authority import Authority, Issued
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from tests.end_to_end.impostor import CERTIFICATES, MONTH_SECONDS, Impostor
from tests.end_to_end.lines import CONNECTING, ESTABLISHED, messages
from tests.end_to_end.namespaces import Network
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation, free_port, installation, wait_until
from tests.end_to_end.raw_agent import DATA, HELLO, SYN, frame, record

pytest.importorskip("spnego")
from tests.end_to_end.outbound_proxies import BASIC, squid

MAIN = "from socksfusion.cli.agent_program import main; main()"
LINE = re.compile(r"\[(ok|!!|--)\] (\w+): ([ -~]+[.?!])")
WAY = ["copy", "clock", "name", "tcp", "tls", "protocol", "certificate", "registration", "policy", "target"]


class Visit:
    """What one run of the doctor has told: its exit code, and (mark, step, text) a line."""

    def __init__(self, installed: Installation, copy: Path, *arguments: str, **environment: str) -> None:
        command = [*installed.prefix, sys.executable, "-c", MAIN, "doctor", "--copy", str(copy), *arguments]
        done = subprocess.run(
            command,
            cwd=Path.cwd(),
            env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.code = done.returncode
        self.out = done.stdout
        self.errors = done.stderr

    @property
    def told(self) -> list[tuple[str, str, str]]:
        matched = [LINE.fullmatch(line) for line in self.out.splitlines()]
        assert matched, self.errors
        assert None not in matched, self.out
        return [(line[1], line[2], line[3]) for line in matched if line is not None]

    def trouble(self) -> tuple[str, str]:
        """Step and text of the one thing that is wrong."""
        (wrong,) = [(step, text) for mark, step, text in self.told if mark == "!!"]
        assert " Ask: " in wrong[1]
        return wrong


def failed(visit: Visit, code: ExitCode, step: str, *texts: str) -> None:
    """It found this one trouble, and says so in one line."""
    found, text = visit.trouble()
    assert found == step
    for part in texts:
        assert part in text
    assert visit.code == code
    assert visit.errors == ""


@pytest.fixture(scope="module")
def doctored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Proxy and a registered agent that does not run."""
    with installation(tmp_path_factory.mktemp("doctored")) as made:
        copy = made.add_agent("demo")
        made.start_proxy()
        made.start_agent(copy).stop()
        yield made


@pytest.fixture
def copy(doctored: Installation) -> Path:
    return doctored.folder / "demo.agent"


def at(port: int) -> str:
    return f"--proxy=localhost:{port}"


class TestNothingWrong:
    def test_every_step_is_told(self, doctored: Installation, copy: Path) -> None:
        with Target(echo) as target:
            visit = Visit(doctored, copy, "--allow=127.0.0.0/8", f"--target=127.0.0.1:{target.port}")
        assert [(mark, step) for mark, step, _ in visit.told] == [("ok", step) for step in WAY]
        assert visit.code == 0
        assert "registered as demo; no Agent serves with it now" in visit.out

    def test_for_programs(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, "--json", at(free_port()))
        told = json.loads(visit.out)
        assert told["exit_code"] == visit.code == ExitCode.UNREACHABLE
        states = {finding["step"]: finding["state"] for finding in told["findings"]}
        assert states == {"copy": "ok", "clock": "ok", "name": "ok", "tcp": "!!", "policy": "ok", "target": "--"}
        assert [bool(finding["ask"]) for finding in told["findings"]] == [False, False, False, True, False, False]

    def test_every_address_of_the_proxy_is_tried(self, doctored: Installation, copy: Path) -> None:
        dead, alive = free_port(), doctored.agents_port
        visit = Visit(doctored, copy, f"--proxy=localhost:{dead},localhost:{alive}")
        failed(visit, ExitCode.UNREACHABLE, "tcp", f"localhost:{dead} refused")
        assert ("ok", "registration") in [(mark, step) for mark, step, _ in visit.told]

    def test_the_question_can_be_left_out(self, doctored: Installation, copy: Path) -> None:
        asked = len([line for line in doctored.programs[0].log if "asks whether it is let in" in line])
        visit = Visit(doctored, copy, "--no-register")
        assert ("--", "registration", "not asked (--no-register).") in visit.told
        assert visit.code == 0
        assert len([line for line in doctored.programs[0].log if "asks whether it is let in" in line]) == asked

    def test_usage(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, "--target=nowhere")
        assert (visit.code, visit.out) == (ExitCode.USAGE, "")
        assert visit.errors.startswith("socksfusion-agent: nowhere is no HOST:PORT")


class TestHere:
    def test_no_copy(self, doctored: Installation, tmp_path: Path) -> None:
        failed(Visit(doctored, tmp_path / "none.agent"), ExitCode.STATE, "copy", "none.agent")

    def test_a_copy_that_others_can_read(self, doctored: Installation, copy: Path, tmp_path: Path) -> None:
        shared = tmp_path / "shared.agent"
        shared.write_bytes(copy.read_bytes())
        shared.chmod(0o644)
        failed(Visit(doctored, shared), ExitCode.USAGE, "copy", "shared.agent")

    def test_a_copy_that_is_valid_later(self, doctored: Installation, tmp_path: Path) -> None:
        state = StateFolder(doctored.state)
        issued = state.authority(time.time() + MONTH_SECONDS).issue_agent("demo")
        later = tmp_path / "later.agent"
        AgentCopy("demo", "localhost:443", state.ca_pem(), issued.certificate_pem, issued.key_pem).save(later)
        failed(Visit(doctored, later), ExitCode.CLOCK, "clock", "this machine's clock says 20")

    def test_a_policy_that_can_not_be_read(self, doctored: Installation, copy: Path, tmp_path: Path) -> None:
        policy = tmp_path / "policy"
        policy.write_text("allow everything else\n")
        failed(Visit(doctored, copy, f"--policy={policy}"), ExitCode.USAGE, "policy", "policy line 1")

    def test_an_agreement_that_is_over(self, doctored: Installation, copy: Path, tmp_path: Path) -> None:
        whole = AgentCopy.load(copy)
        over = tmp_path / "over.agent"
        AgentCopy(
            "demo", whole.proxy, whole.ca_pem, whole.certificate_pem, whole.key_pem, ("10.0.0.0/8",), time.time() - 60
        ).save(over)
        failed(Visit(doctored, over), ExitCode.DENIED, "policy", "the agreed time is over", "10.0.0.0/8")


class TestTheWay:
    def test_a_name_that_is_none(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, "--proxy=no-such-host.invalid:443")
        failed(visit, ExitCode.NAME, "name", "no-such-host.invalid can't be resolved", "DNS")

    def test_dns_that_is_dead(self, network: Network, tmp_path: Path) -> None:
        """The only server that the machine knows does not answer."""
        network.near.bind_file("nameserver 198.51.100.53\n", "/etc/resolv.conf", tmp_path)
        try:
            with installation(tmp_path, network.near.prefix) as made:
                visit = Visit(made, made.add_agent("demo"), "--proxy=proxy.example.org:443")
        finally:
            network.near.run("umount /etc/resolv.conf")
        failed(visit, ExitCode.NAME, "name", "proxy.example.org can't be resolved", "DNS")

    def test_a_port_that_is_closed(self, doctored: Installation, copy: Path) -> None:
        port = free_port()
        failed(Visit(doctored, copy, at(port)), ExitCode.UNREACHABLE, "tcp", f"localhost:{port} refused")

    def test_an_address_that_swallows_packets(self, network: Network, tmp_path: Path) -> None:
        with installation(tmp_path, network.near.prefix) as made:
            copy = made.add_agent("demo")
            visit = Visit(made, copy, "--proxy=198.51.100.7:443", "--handshake=2")
        failed(visit, ExitCode.UNREACHABLE, "tcp", "gave no answer", "allow TCP from this machine to 198.51.100.7:443")

    def test_an_address_without_a_route(self, network: Network, tmp_path: Path) -> None:
        with installation(tmp_path, network.near.prefix) as made:
            copy = made.add_agent("demo")
            visit = Visit(made, copy, "--proxy=10.9.9.9:443")
        failed(visit, ExitCode.UNREACHABLE, "tcp", "Network is unreachable")

    @pytest.mark.parametrize(
        ("answer", "texts"),
        [
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ["403 Forbidden", "allow CONNECT"]),
            (
                'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
                ["wants a login"],
            ),
            ("", ["closed the connection"]),
        ],
        ids=["403", "407", "silence"],
    )
    def test_the_networks_own_proxy(self, doctored: Installation, copy: Path, answer: str, texts: list[str]) -> None:
        def refuse(client: socket.socket) -> None:
            client.recv(4096)
            client.sendall(answer.encode())

        with Target(refuse) as proxy:
            visit = Visit(doctored, copy, f"--outbound-proxy=http://127.0.0.1:{proxy.port}")
        failed(visit, ExitCode.OUTBOUND, "outbound", f"http://127.0.0.1:{proxy.port}", *texts)

    @pytest.mark.parametrize(
        ("login", "text"),
        [(BASIC, "wants a login"), ("http_access deny all\n", "403 Forbidden; ask who runs it to allow CONNECT")],
        ids=["407", "403"],
    )
    def test_a_real_proxy_of_the_network(self, doctored: Installation, copy: Path, login: str, text: str) -> None:
        with squid(login) as proxy:
            visit = Visit(doctored, copy, f"--outbound-proxy=http://127.0.0.1:{proxy.port}")
        failed(visit, ExitCode.OUTBOUND, "outbound", f"http://127.0.0.1:{proxy.port}", text)

    def test_a_real_proxy_that_lets_it_out(self, doctored: Installation, copy: Path) -> None:
        with squid() as proxy:
            visit = Visit(doctored, copy, f"--outbound-proxy=http://127.0.0.1:{proxy.port}")
        assert visit.code == 0
        assert ("ok", "outbound") in [(mark, step) for mark, step, _ in visit.told]
        assert "registered as demo" in visit.out

    def test_the_networks_own_proxy_is_not_there(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, f"--outbound-proxy=socks5://127.0.0.1:{free_port()}")
        failed(visit, ExitCode.OUTBOUND, "outbound", "no connection to the outbound proxy socks5://127.0.0.1")


def say_nothing(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def say_something_else(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    say_nothing(client)


def hang_up(client: socket.socket) -> None:
    client.recv(4096)


class Interceptor(Impostor):
    """What opens TLS on the way and knows TLS 1.2 alone; ``met`` is what became of each connection."""

    def __init__(self, issued: Issued, agents_ca: bytes) -> None:
        super().__init__(issued, alpn=None)
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        # an agent's certificate would be asked for, taken and seen
        self.context.load_verify_locations(cadata=agents_ca.decode())
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.met: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        try:
            tls = self.context.wrap_socket(connection, server_side=True)
        except OSError as error:  # ssl's errors are such
            self.met.append("other version" if "UNSUPPORTED_PROTOCOL" in str(error) else "left after the certificate")
        else:
            self.met.append(f"stayed; its certificate: {tls.getpeercert()}")


class TestTls:
    @pytest.mark.parametrize(
        ("serve", "text"),
        [
            (say_nothing, "did not answer TLS within 1 s"),
            (say_something_else, "does not speak TLS 1.3"),
            (hang_up, "closed the connection during the TLS handshake"),
        ],
        ids=["silent", "something else", "hangs up"],
    )
    def test_no_tls(
        self, doctored: Installation, copy: Path, serve: Callable[[socket.socket], None], text: str
    ) -> None:
        with Target(serve) as target:
            visit = Visit(doctored, copy, at(target.port), "--handshake=1")
        failed(visit, ExitCode.TLS, "tls", text)

    def shown(self, doctored: Installation, copy: Path, issued: Issued, alpn: str | None = "socksfusion/1") -> Visit:
        with Target(Impostor(issued, alpn=alpn)) as target:
            return Visit(doctored, copy, at(target.port))

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("of another CA", ExitCode.CERTIFICATE),
            ("of another name", ExitCode.CERTIFICATE),
            ("of an agent", ExitCode.CERTIFICATE),
            ("not valid yet", ExitCode.CLOCK),
            ("expired", ExitCode.CLOCK),
        ],
    )
    def test_another_certificate(self, doctored: Installation, copy: Path, name: str, code: ExitCode) -> None:
        issue, text = CERTIFICATES[name]
        failed(self.shown(doctored, copy, issue(StateFolder(doctored.state))), code, "certificate", text)

    def test_tls_that_is_opened_on_the_way(self, doctored: Installation, copy: Path) -> None:
        """The exemption to ask for names the address and who issued what is shown, ready to forward."""
        issued = Authority.create()[0].issue_proxy(["localhost"])
        _, text = self.shown(doctored, copy, issued).trouble()
        assert re.search(
            r'Ask: who runs your firewall or web filter: "Please exempt TCP connections to localhost:\d+ from TLS '
            r"inspection\. .* a certificate issued by 'SocksFusion CA [^']+' is shown there\"",
            text,
        )

    def test_tls_1_2_that_is_opened_on_the_way(self, doctored: Installation, copy: Path) -> None:
        """A second look tells whose it is, and shows it neither certificate nor secret."""
        issued = Authority.create()[0].issue_proxy(["localhost"])
        interceptor = Interceptor(issued, StateFolder(doctored.state).ca_pem())
        with Target(interceptor) as target:
            visit = Visit(doctored, copy, at(target.port))
        failed(visit, ExitCode.CERTIFICATE, "certificate", "speaks TLS 1.2, not 1.3", "issued by 'SocksFusion CA ")
        assert f"Please exempt TCP connections to localhost:{target.port} from TLS inspection" in visit.trouble()[1]
        wait_until(lambda: len(interceptor.met) == 2, lambda: str(interceptor.met))
        assert interceptor.met == ["other version", "left after the certificate"]

    def test_no_proxy(self, doctored: Installation, copy: Path) -> None:
        issued = StateFolder(doctored.state).authority().issue_proxy(["localhost"])
        failed(self.shown(doctored, copy, issued, alpn=None), ExitCode.TLS, "protocol", "is not a Proxy of SocksFusion")

    def test_a_proxy_that_does_not_take_the_copy(self, doctored: Installation, copy: Path) -> None:
        issued = StateFolder(doctored.state).authority().issue_proxy(["localhost"])
        impostor = Impostor(issued)
        foreign = Authority.create()[0].ca_pem.decode()
        impostor.context.load_verify_locations(cadata=foreign)
        impostor.context.verify_mode = ssl.CERT_REQUIRED
        with Target(impostor) as target:
            visit = Visit(doctored, copy, at(target.port))
        failed(visit, ExitCode.CERTIFICATE, "registration", "refused this copy's certificate")


def hello(**changed: object) -> bytes:
    body = record({**HELLO, **changed})
    return frame(DATA, SYN, 1, len(body), body)


class TestRegistration:
    def said(self, doctored: Installation, copy: Path, says: bytes) -> tuple[Visit, bytes]:
        """A Proxy that says only that, and what it heard."""
        issued = StateFolder(doctored.state).authority().issue_proxy(["localhost"])
        impostor = Impostor(issued, says=says)
        with Target(impostor) as target:
            visit = Visit(doctored, copy, at(target.port), "--handshake=2")
        return visit, b"".join(impostor.heard)

    def test_a_proxy_that_can_not_be_asked_hears_no_hello(self, doctored: Installation, copy: Path) -> None:
        visit, heard = self.said(doctored, copy, hello())
        (left_out,) = [text for mark, step, text in visit.told if (mark, step) == ("--", "registration")]
        assert "raw/1" in left_out
        assert b"hello" not in heard
        assert visit.code == 0

    def test_a_proxy_of_another_version(self, doctored: Installation, copy: Path) -> None:
        visit, _ = self.said(doctored, copy, hello(protocol=2, features=["ask"]))
        failed(visit, ExitCode.REGISTRATION, "registration", "another version")

    @pytest.mark.parametrize("says", [b"", hello(features=["ask"])], ids=["nothing", "hello alone"])
    def test_a_proxy_that_does_not_answer(self, doctored: Installation, copy: Path, says: bytes) -> None:
        visit, _ = self.said(doctored, copy, says)
        failed(visit, ExitCode.REGISTRATION, "registration", "said nothing for 2 s")

    def test_an_agent_that_serves_is_not_disturbed(self, doctored: Installation, copy: Path) -> None:
        agent = doctored.start_agent(copy)
        with Target(echo) as target, socks_connect(doctored.clients_port, "127.0.0.1", target.port) as client:
            visit = Visit(doctored, copy)
            assert "an Agent with this copy serves now" in visit.out
            assert visit.code == 0
            client.sendall(b"still here")
            assert receive_exactly(client, 10) == b"still here"
        assert [line for line in messages(agent) if line in (CONNECTING, ESTABLISHED)] == [CONNECTING, ESTABLISHED]
        agent.stop()

    def test_revoked(self, doctored: Installation) -> None:
        copy = doctored.add_agent("revoked")
        doctored.admin("agent", "revoke", "revoked")
        failed(Visit(doctored, copy), ExitCode.NOT_REGISTERED, "registration", "this agent is not registered")

    def test_replaced_and_a_new_copy_that_stays_new(self, doctored: Installation) -> None:
        old = doctored.add_agent("twice")
        agent = doctored.start_agent(old)
        new = doctored.folder / "twice-new.agent"
        doctored.admin("agent", "renew", "twice", "--out", str(new))
        for _ in range(2):
            assert "this is a new copy of twice, where an older copy serves until then" in Visit(doctored, new).out
        assert messages(agent) == [CONNECTING, ESTABLISHED]
        assert agent.process.poll() is None

        doctored.start_agent(new)
        assert agent.wait_exit() == ExitCode.REPLACED
        failed(Visit(doctored, old), ExitCode.REPLACED, "registration", "a newer copy")


class TestTarget:
    def test_denied(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, "--allow=192.0.2.0/24", "--target=198.51.100.1:80")
        failed(visit, ExitCode.DENIED, "target", "198.51.100.1:80 is denied", "not in --allow")

    def test_closed(self, doctored: Installation, copy: Path) -> None:
        port = free_port()
        visit = Visit(doctored, copy, "--allow=127.0.0.0/8", f"--target=127.0.0.1:{port}")
        failed(visit, ExitCode.TARGET, "target", f"127.0.0.1:{port} gives no connection", "refused")

    def test_a_name_that_is_none(self, doctored: Installation, copy: Path) -> None:
        visit = Visit(doctored, copy, "--target=no-such-host.invalid:80")
        failed(visit, ExitCode.TARGET, "target", "no-such-host.invalid:80", "DNS")
