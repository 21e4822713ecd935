import pytest

from socksfusion.errors import OperatorError
from socksfusion.registry.schema import Client
from socksfusion.registry.store import RefusedChange, Registry
from tests.registry.conftest import NEW, OLD, Now

TOKEN, OTHER_TOKEN = b"t" * 32, b"u" * 32


@pytest.fixture(autouse=True)
def agents(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.add_agent("bolt", NEW)


def test_a_new_account(registry: Registry, now: Now) -> None:
    registry.clients.add("alice", TOKEN, agents=["acme", "acme"], allow=["10.0.0.0/8", "fd00::/8"])
    client = registry.clients.get("alice")
    assert client == Client(
        "alice", TOKEN, False, False, frozenset({"acme"}), ("10.0.0.0/8", "fd00::/8"), now.seconds, None
    )
    assert dict(registry.snapshot().clients) == {"alice": client}
    assert (client.may_use("acme"), client.may_use("bolt")) == (True, False)
    assert TOKEN.decode() not in repr(client)


def test_an_account_for_all(registry: Registry) -> None:
    registry.clients.add("alice", TOKEN, all_agents=True)
    registry.add_agent("later", b"l" * 32)
    assert registry.clients.get("alice").may_use("later")


def test_all_accounts_by_name(registry: Registry) -> None:
    for name in ("bob", "alice"):
        registry.clients.add(name, TOKEN, agents=["acme"])
    assert [client.name for client in registry.clients.list()] == ["alice", "bob"]


def test_a_name_is_taken_once(registry: Registry) -> None:
    registry.clients.add("alice", TOKEN)
    with pytest.raises(RefusedChange, match=r"there is a client alice already; .*: socksfusion client renew alice"):
        registry.clients.add("alice", OTHER_TOKEN)
    assert registry.clients.get("alice").token == TOKEN


def test_an_account_for_an_agent_that_is_not_there_is_not_made(registry: Registry) -> None:
    with pytest.raises(RefusedChange, match="there is no agent nobody"):
        registry.clients.add("alice", TOKEN, agents=["acme", "nobody"])
    assert not registry.clients.list()


def test_unknown_accounts(registry: Registry) -> None:
    clients = registry.clients
    for attempt in (
        lambda: clients.get("nobody"),
        lambda: clients.renew("nobody", TOKEN),
        lambda: clients.revoke("nobody"),
        lambda: clients.restore("nobody"),
        lambda: clients.set_agents("nobody", ["acme"]),
        lambda: clients.set_allow("nobody", []),
    ):
        with pytest.raises(RefusedChange, match="there is no client nobody; see: socksfusion client list"):
            attempt()
    clients.write_seen({"nobody": 1.0})


def test_changes(registry: Registry) -> None:
    clients = registry.clients
    clients.add("alice", TOKEN, agents=["acme"], allow=["10.0.0.0/8"])
    clients.renew("alice", OTHER_TOKEN)
    clients.set_agents("alice", ["bolt"])
    clients.set_allow("alice", [])
    clients.write_seen({"alice": 7.0})
    alice = clients.get("alice")
    assert (alice.token, alice.agents, alice.allow, alice.last_seen) == (OTHER_TOKEN, {"bolt"}, (), 7.0)
    clients.set_agents("alice", all_agents=True)
    assert (clients.get("alice").agents, clients.get("alice").all_agents) == (frozenset(), True)
    clients.set_agents("alice")
    assert not clients.get("alice").may_use("bolt")


def test_revoke_and_restore(registry: Registry) -> None:
    registry.clients.add("alice", TOKEN, agents=["acme"])
    assert registry.clients.revoke("alice")
    assert not registry.clients.revoke("alice")
    assert not registry.snapshot().clients["alice"].may_use("acme")
    assert registry.clients.restore("alice")
    assert not registry.clients.restore("alice")
    assert registry.clients.get("alice").may_use("acme")


def test_a_removed_agents_name_gives_no_rights_to_a_later_one(registry: Registry) -> None:
    registry.clients.add("alice", TOKEN, agents=["acme", "bolt"])
    registry.remove_agent("acme")
    registry.add_agent("acme", b"n" * 32)
    assert registry.clients.get("alice").agents == {"bolt"}


def test_generation_counts_what_a_snapshot_shows(registry: Registry) -> None:
    registry.clients.add("alice", TOKEN)
    before = registry.generation
    registry.clients.write_seen({"alice": 1.0})
    assert registry.generation == before
    registry.clients.revoke("alice")
    assert registry.generation == before + 1


@pytest.mark.parametrize(
    "name",
    [
        *("'; DROP TABLE clients; --", "a' OR '1'='1", "a\0b", "\ud800", "", "a\nb", "%", "x" * 65, "acme\u202e", "💥"),
        *("alice@acme", "-all", ".", "a b"),
    ],
)
def test_hostile_names_are_refused_before_the_database(registry: Registry, name: str) -> None:
    """Row H3; a name with @ would be another client's login."""
    registry.clients.add("alice", TOKEN, agents=["acme"])
    for attempt in (
        lambda: registry.clients.add(name, TOKEN),
        lambda: registry.clients.get(name),
        lambda: registry.clients.revoke(name),
        lambda: registry.clients.set_agents(name, ["acme"]),
    ):
        with pytest.raises(OperatorError, match="can't be a client's name") as caught:
            attempt()
        assert str(caught.value).isprintable()
    for attempt in (
        lambda: registry.clients.add("bob", TOKEN, agents=[name]),
        lambda: registry.clients.set_agents("alice", [name]),
    ):
        with pytest.raises(OperatorError, match=r"can't be an agent's name|there is no agent"):
            attempt()
    assert [client.agents for client in registry.clients.list()] == [{"acme"}]
