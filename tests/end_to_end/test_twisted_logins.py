"""The client endpoint with accounts, over TLS to the clients' port; through real programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, quoteStringArgument
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from socksfusion.client import LoginRefused, ProxyFailed
from tests.end_to_end.admin import token_in
from tests.end_to_end.network import Target
from tests.end_to_end.programs import Installation, installation
from tests.tunnel.certificates import authority


class Whole(Protocol):
    """Collects what comes, until the end."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.data)


@dataclass
class Site:
    """A Proxy that lets nobody in without a login, by TLS, and an Agent."""

    programs: Installation
    folder: Path
    tokens: dict[str, str]

    def endpoint(self, target: Target, login: str, token: str, *, ca: int = 0) -> IStreamClientEndpoint:
        """``login`` is arguments of the string; ``ca`` is whose authority is trusted."""
        file, trusted = self.folder / "token", self.folder / "ca.pem"
        file.write_text(f"{token}\n")
        file.chmod(0o600)
        trusted.write_bytes(authority(ca).ca_pem)
        return clientFromString(
            reactor,
            f"socksfusion:host=127.0.0.1:port={target.port}:proxy=127.0.0.1\\:{self.programs.clients_port}:tls=yes"
            f":ca={quoteStringArgument(str(trusted))}:{login}:token-file={quoteStringArgument(str(file))}",
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    issued = authority(0).issue_proxy(["127.0.0.1"])
    certificate = folder / "clients.pem"
    certificate.write_bytes(issued.certificate_pem + issued.key_pem)
    certificate.chmod(0o600)
    with installation(folder) as made:
        copy = made.add_agent("demo")
        tokens = {
            "agent": made.admin("agent", "token", "demo"),
            "client": made.admin("client", "add", "scan1", "--agents", "demo"),
        }
        pem = quoteStringArgument(str(certificate))
        made.start_proxy(
            *("--authentication", "required", "--clients"),
            f"ssl:{made.clients_port}:interface=127.0.0.1:privateKey={pem}:certKey={pem}",
        )
        made.start_agent(copy)
        yield Site(made, folder, {who: token_in(told) for who, told in tokens.items()})


@pytest.mark.parametrize(("who", "login"), [("agent", "agent=demo"), ("client", "agent=demo:client=scan1")])
@pytest_twisted.ensureDeferred
async def test_both_ways_to_log_in(site: Site, who: str, login: str) -> None:
    with Target(lambda connection: connection.sendall(connection.recv(100).upper())) as target:
        protocol = await connectProtocol(site.endpoint(target, login, site.tokens[who]), Whole())
        protocol.transport.write(b"logged in")
        assert await protocol.ended.addTimeout(30, reactor) == b"LOGGED IN"


@pytest.mark.parametrize(
    ("who", "login"),
    [("client", "agent=demo"), ("agent", "agent=demo:client=scan1"), ("agent", "agent=other"), ("", "agent=demo")],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_login_reaches_nothing(site: Site, who: str, login: str) -> None:
    with Target(lambda connection: None) as target:
        with pytest.raises(LoginRefused):
            await connectProtocol(site.endpoint(target, login, site.tokens.get(who, "wrong")), Whole())
        assert target.accepted == 0


@pytest_twisted.ensureDeferred
async def test_a_proxy_that_the_authority_does_not_know_reads_no_token(site: Site) -> None:
    with Target(lambda connection: None) as target:
        with pytest.raises(ProxyFailed, match="certificate verify failed"):
            await connectProtocol(site.endpoint(target, "agent=demo", site.tokens["agent"], ca=1), Whole())
        assert target.accepted == 0
