from pathlib import Path

import pytest

from socksfusion.errors import OperatorError
from socksfusion.exit_codes import ExitCode
from socksfusion.registry.schema import Agent, Seen
from socksfusion.registry.store import RefusedChange, Registry, RegistryError
from tests.registry.conftest import NEW, NEWER, OLD, STRANGE, Now


def states(registry: Registry, name: str = "acme") -> dict[bytes, str]:
    return {key.digest: key.state for key in registry.agent_keys(name)}


# -- agents and keys ----------------------------------------------------------------------------------------------


def test_a_new_agent(registry: Registry, now: Now) -> None:
    registry.check_new("acme")
    registry.add_agent("acme", OLD)
    assert registry.agents() == [Agent("acme", False, None, None, now.seconds, False, None, None, None, None)]
    assert states(registry) == {OLD: "pending"}
    snapshot = registry.snapshot()
    assert snapshot.agents["acme"] == registry.agent("acme")
    assert snapshot.keys[OLD].agent == "acme"
    assert not snapshot.scans


def test_a_name_is_taken_once(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    for attempt in (lambda: registry.add_agent("acme", NEW), lambda: registry.check_new("acme")):
        with pytest.raises(RefusedChange, match="there is an agent acme already") as caught:
            attempt()
        assert caught.value.exit_code is ExitCode.USAGE
    assert states(registry) == {OLD: "pending"}


def test_unknown_agents(registry: Registry) -> None:
    for attempt in (
        lambda: registry.agent("nobody"),
        lambda: registry.renew_agent("nobody", NEW),
        lambda: registry.revoke_agent("nobody"),
        lambda: registry.restore_agent("nobody"),
        lambda: registry.set_port("nobody", 1081),
        lambda: registry.remove_agent("nobody"),
    ):
        with pytest.raises(RefusedChange, match="there is no agent nobody; see: socksfusion agent list"):
            attempt()


def test_a_new_copy_takes_over_when_it_connects(registry: Registry) -> None:
    """Design decision 3."""
    registry.add_agent("acme", OLD)
    assert registry.activate(OLD) == registry.snapshot().keys[OLD]
    registry.renew_agent("acme", NEW)
    assert states(registry) == {OLD: "active", NEW: "pending"}
    registry.activate(OLD)
    assert states(registry) == {OLD: "active", NEW: "pending"}, "the older one goes on until then"
    key = registry.activate(NEW)
    assert key is not None
    assert (key.agent, key.state) == ("acme", "active")
    assert states(registry) == {OLD: "retired", NEW: "active"}


def test_a_retired_key_never_comes_back(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.renew_agent("acme", NEW)
    registry.activate(NEW)
    key = registry.activate(OLD)
    assert key is not None
    assert key.state == "retired"
    assert states(registry) == {OLD: "retired", NEW: "active"}


def test_of_several_new_copies_the_one_that_connects_takes_over(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.renew_agent("acme", NEW)
    registry.renew_agent("acme", NEWER)
    registry.activate(NEW)
    assert states(registry) == {OLD: "retired", NEW: "active", NEWER: "pending"}
    registry.activate(NEWER)
    assert states(registry) == {OLD: "retired", NEW: "retired", NEWER: "active"}


def test_other_agents_keys_are_left_alone(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.activate(OLD)
    registry.add_agent("other", NEW)
    registry.activate(NEW)
    assert states(registry) == {OLD: "active"}


def test_revoke_and_restore(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    assert registry.revoke_agent("acme")
    assert not registry.revoke_agent("acme"), "nothing more to change"
    assert registry.snapshot().agents["acme"].revoked
    assert registry.activate(OLD) is None
    assert states(registry) == {OLD: "pending"}, "a revoked agent's new copy takes nothing over"
    assert registry.restore_agent("acme")
    assert not registry.restore_agent("acme")
    assert registry.activate(OLD) is not None


def test_a_strange_key(registry: Registry) -> None:
    assert registry.activate(STRANGE) is None


# -- ports --------------------------------------------------------------------------------------------------------


def test_a_port_is_one_agents_until_it_is_freed(registry: Registry) -> None:
    """Design decision 5: never given to another by itself, also while its agent is revoked."""
    registry.add_agent("acme", OLD)
    registry.add_agent("other", NEW)
    registry.set_port("acme", 1081)
    registry.set_port("acme", 1081)
    registry.revoke_agent("acme")
    with pytest.raises(RefusedChange, match=r"port 1081 is agent acme's; .*: socksfusion agent port acme none"):
        registry.set_port("other", 1081)
    registry.set_port("acme", None)
    registry.set_port("other", 1081)
    assert {agent.name: agent.port for agent in registry.agents()} == {"acme": None, "other": 1081}


def test_several_agents_without_a_port(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.add_agent("other", NEW)
    registry.set_port("acme", None)
    registry.set_port("other", None)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_no_ports(registry: Registry, port: int) -> None:
    registry.add_agent("acme", OLD)
    with pytest.raises(RefusedChange, match="from 1 to 65535"):
        registry.set_port("acme", port)


# -- what the Proxy notes -----------------------------------------------------------------------------------------


def test_what_was_seen_stays_until_it_is_seen_anew(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.write_seen([Seen("acme", True, 5.0, "192.0.2.7:4000", "1.2"), Seen("gone", True), Seen("acme", at=6.0)])
    registry.write_seen([Seen("acme", connected=False, error="carrier lost")])
    agent = registry.agent("acme")
    assert (agent.connected, agent.last_seen, agent.last_address) == (False, 6.0, "192.0.2.7:4000")
    assert (agent.last_version, agent.last_error) == ("1.2", "carrier lost")
    registry.write_seen([])


def test_text_from_outside_is_made_printable(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.write_seen([Seen("acme", version="1\x1b[2J\0\ud800", error="x" * 5000)])
    agent = registry.agent("acme")
    assert agent.last_version == r"1\x1b[2J\x00\xed\xa0\x80"
    assert agent.last_error is not None
    assert len(agent.last_error) == 256


def test_generation_counts_what_a_snapshot_shows(registry: Registry) -> None:
    before = registry.generation
    registry.add_agent("acme", OLD)
    assert registry.generation == before + 1
    registry.write_seen([Seen("acme", at=1.0)])
    assert registry.generation == before + 1


def test_a_snapshot_cannot_be_changed(registry: Registry) -> None:
    with pytest.raises(TypeError):
        registry.snapshot().agents["acme"] = None  # type: ignore[index]


# -- row H3: nothing in a name reaches the database as anything but a name -----------------------------------------


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE agents; --", "a' OR '1'='1", "a\0b", "\ud800", "", "a\nb", "%", "x" * 65, "acme\u202e", "💥"],
)
def test_hostile_names_are_refused_before_the_database(registry: Registry, name: str) -> None:
    registry.add_agent("acme", OLD)
    for attempt in (
        lambda: registry.add_agent(name, NEW),
        lambda: registry.agent(name),
        lambda: registry.revoke_agent(name),
        lambda: registry.set_port(name, 1),
    ):
        with pytest.raises(OperatorError, match="can't be an agent's name") as caught:
            attempt()
        assert str(caught.value).isprintable()
    assert [agent.name for agent in registry.agents()] == ["acme"]


# -- is a Proxy at work -------------------------------------------------------------------------------------------


def test_connected_is_cleared_by_the_next_proxy(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.write_seen([Seen("acme", connected=True)])
    with Registry.open(registry.path) as command:
        assert not command.is_served()
        assert registry.serve()
        assert command.is_served()
        assert not command.agent("acme").connected
        registry.write_seen([Seen("acme", connected=True)])
        with Registry.open(registry.path) as second_proxy:
            assert not second_proxy.serve()
        assert command.agent("acme").connected
        registry.close()
        assert not command.is_served()


def test_another_connections_change_shows_in_the_data_version(registry: Registry) -> None:
    before = registry.data_version()
    registry.add_agent("acme", OLD)
    assert registry.data_version() == before, "its own change does not"
    with Registry.open(registry.path) as command:
        command.revoke_agent("acme")
    assert registry.data_version() != before


def test_there_is_one_already(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="File exists"):
        Registry.create(registry.path)
