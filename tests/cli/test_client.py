import json
import re

import pytest

from socksfusion.identity.tokens import token_digest
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command, told


@pytest.fixture
def staffed(ready: Command) -> Command:
    """With two agents."""
    for name in ("acme", "bolt"):
        assert ready("agent", "add", name).exit_code == 0
    return ready


def token_in(text: str) -> str:
    found = re.findall(r"^Its token: (\S+)$", text, re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def test_a_token_is_told_once_and_kept_as_its_digest(staffed: Command, registry: Registry) -> None:
    result = staffed("client", "add", "alice", "--agents", "acme", "--allow", "10.0.0.0/8,192.0.2.7")
    assert result.exit_code == 0
    token = token_in(result.stdout)
    assert len(token) >= 32
    assert "the user alice@AGENT" in result.stdout
    client = registry.clients.get("alice")
    assert (client.token, client.agents, client.allow) == (
        token_digest(token),
        {"acme"},
        ("10.0.0.0/8", "192.0.2.7/32"),
    )
    for command in (["show", "alice"], ["list"], ["list", "--json"]):
        assert token not in staffed("client", *command).output
    assert token.encode() not in registry.path.read_bytes()


def test_all_agents(staffed: Command, registry: Registry) -> None:
    assert "may use all agents" in staffed("client", "add", "alice", "--all").stdout
    assert registry.clients.get("alice").all_agents
    assert staffed("client", "add", "bob", "--all", "--agents", "acme").exit_code == 2


def test_no_agents_yet(staffed: Command) -> None:
    assert "socksfusion client agents alice AGENT,..." in staffed("client", "add", "alice").stdout


def test_an_agent_that_is_not_there(staffed: Command, registry: Registry) -> None:
    result = staffed("client", "add", "alice", "--agents", "acme,nobody")
    assert result.exit_code == 2
    assert "there is no agent nobody" in told(result)
    assert not registry.clients.list()


def test_a_name_that_is_taken(staffed: Command) -> None:
    staffed("client", "add", "alice")
    result = staffed("client", "add", "alice")
    assert result.exit_code == 2
    assert "socksfusion client renew alice" in told(result)
    assert "Its token" not in result.stdout


def test_renew(staffed: Command, registry: Registry) -> None:
    first = token_in(staffed("client", "add", "alice").stdout)
    staffed("client", "revoke", "alice")
    result = staffed("client", "renew", "alice")
    second = token_in(result.stdout)
    assert second != first
    assert registry.clients.get("alice").token == token_digest(second)
    assert "opens nothing until: socksfusion client restore alice" in result.stdout


def test_revoke_and_restore(staffed: Command, registry: Registry) -> None:
    staffed("client", "add", "alice")
    assert "undo it by: socksfusion client restore alice" in staffed("client", "revoke", "alice").stdout
    assert registry.clients.get("alice").revoked
    assert "revoked" in staffed("client", "list").stdout
    assert "nothing was changed" in staffed("client", "revoke", "alice").stdout
    assert "may log in again" in staffed("client", "restore", "alice").stdout
    assert not registry.clients.get("alice").revoked
    assert "nothing was changed" in staffed("client", "restore", "alice").stdout


def test_other_agents(staffed: Command, registry: Registry) -> None:
    staffed("client", "add", "alice", "--agents", "acme")
    assert "may use agents acme, bolt" in staffed("client", "agents", "alice", "acme,bolt").stdout
    assert registry.clients.get("alice").agents == {"acme", "bolt"}
    assert staffed("client", "agents", "alice", "--all").exit_code == 0
    assert registry.clients.get("alice").all_agents
    assert "may use no agent" in staffed("client", "agents", "alice", "none").stdout
    assert not registry.clients.get("alice").may_use("acme")
    for wrong in ([], ["acme", "--all"]):
        assert staffed("client", "agents", "alice", *wrong).exit_code == 2


def test_other_networks(staffed: Command, registry: Registry) -> None:
    staffed("client", "add", "alice", "--allow", "10.0.0.0/8")
    assert "reaches 192.0.2.0/24" in staffed("client", "allow", "alice", "192.0.2.0/24").stdout
    assert registry.clients.get("alice").allow == ("192.0.2.0/24",)
    assert "all that its agents allow" in staffed("client", "allow", "alice", "none").stdout
    assert registry.clients.get("alice").allow == ()


def test_list_and_show(staffed: Command, registry: Registry) -> None:
    assert "socksfusion client add NAME" in staffed("client", "list").stdout
    staffed("client", "add", "bob", "--all")
    staffed("client", "add", "alice", "--agents", "bolt,acme", "--allow", "10.0.0.0/8")
    registry.clients.write_seen({"alice": 1_800_000_000.0})
    headings, alice, bob = staffed("client", "list").stdout.splitlines()
    assert headings.split() == ["NAME", "STATE", "AGENTS", "ALLOW", "LAST", "SEEN"]
    assert alice.split()[:4] == ["alice", "active", "acme,bolt", "10.0.0.0/8"]
    assert bob.split() == ["bob", "active", "all", "-", "-"]
    records = json.loads(staffed("client", "list", "--json").stdout)
    assert [(record["name"], record["agents"]) for record in records] == [("alice", ["acme", "bolt"]), ("bob", None)]
    assert json.loads(staffed("client", "show", "alice", "--json").stdout) == records[0]
    assert re.search(r"^login: +alice@AGENT$", staffed("client", "show", "alice").stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "command", [["show"], ["renew"], ["revoke"], ["restore"], ["agents", "--all"], ["allow", "none"]], ids=" ".join
)
def test_unknown_clients(ready: Command, command: list[str]) -> None:
    first, *rest = command
    result = ready("client", first, "x", *rest)
    assert result.exit_code == 2
    assert "there is no client x; see: socksfusion client list" in told(result)


@pytest.mark.parametrize("name", ["a/b", "", "a\x1b", "\ud800", "x" * 65, "'; DROP TABLE clients; --", "alice@acme"])
def test_hostile_names(ready: Command, registry: Registry, name: str) -> None:
    """Row H3."""
    for command in (["add", name], ["show", name], ["revoke", name], ["agents", name, "none"]):
        result = ready("client", *command)
        assert result.exit_code == 2
        assert told(result).isprintable()
    assert not registry.clients.list()
