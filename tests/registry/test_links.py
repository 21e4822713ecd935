"""One-time links: once, in time, and only while the agent may come in."""

import pytest

from socksfusion import limits
from socksfusion.registry.store import Registry, RegistryError
from tests.registry.conftest import NEW, NEWER, OLD, STRANGE, Now

LINK = bytes([7]) * 32


@pytest.fixture
def linked(registry: Registry, now: Now) -> Registry:
    registry.add_agent("acme", OLD)
    registry.activate(OLD)
    registry.links.add(LINK, "acme", "proxy.example:443", "ops", now() + 60)
    return registry


def states(registry: Registry) -> list[str]:
    return [key.state for key in registry.agent_keys("acme")]


def test_looking_at_it_uses_nothing_up(linked: Registry) -> None:
    for _ in range(10):
        found = linked.links.find(LINK)
        assert found is not None
        assert (found[0].proxy, found[0].by, found[1].name) == ("proxy.example:443", "ops", "acme")
    assert states(linked) == ["active"]


def test_it_gives_one_pending_key_once(linked: Registry, now: Now) -> None:
    assert linked.links.use(LINK, NEW)
    assert states(linked) == ["active", "pending"]
    assert linked.links.find(LINK) is None
    assert not linked.links.use(LINK, NEWER)
    assert states(linked) == ["active", "pending"]
    assert linked.links.list()[0].used == now()
    linked.activate(NEW)
    assert states(linked) == ["retired", "active"]


def test_its_time_ends_it_without_a_key(linked: Registry, now: Now) -> None:
    now.seconds += 59.9
    assert linked.links.find(LINK) is not None
    now.seconds += 0.1
    assert linked.links.find(LINK) is None
    assert not linked.links.use(LINK, NEW)
    assert states(linked) == ["active"]


def test_a_revoked_agent_has_no_links_until_it_is_restored(linked: Registry) -> None:
    linked.revoke_agent("acme")
    assert linked.links.find(LINK) is None
    assert not linked.links.use(LINK, NEW)
    linked.restore_agent("acme")
    assert linked.links.find(LINK) is not None


def test_a_key_that_is_registered_already_uses_nothing_up(linked: Registry) -> None:
    with pytest.raises(RegistryError):
        linked.links.use(LINK, OLD)
    assert linked.links.find(LINK) is not None


def test_revoked_links_and_those_of_removed_agents_are_gone(linked: Registry, now: Now) -> None:
    linked.links.add(NEWER, "acme", "proxy.example:443", "ops", now() + 60)
    gone = linked.links.revoke(linked.links.list("acme")[0].id)
    assert linked.links.find(gone.digest) is None
    with pytest.raises(RegistryError, match="there is no link"):
        linked.links.revoke(gone.id)
    assert len(linked.links.list()) == 1
    linked.remove_agent("acme")
    assert linked.links.list() == []


def test_strangers(linked: Registry, now: Now) -> None:
    assert linked.links.find(STRANGE) is None
    with pytest.raises(RegistryError):
        linked.links.add(STRANGE, "nobody", "proxy.example:443", "ops", now() + 60)
    with pytest.raises(RegistryError):
        linked.links.list("nobody")


def test_what_ended_long_ago_goes_when_the_next_one_is_made(linked: Registry, now: Now) -> None:
    linked.add_agent("other", NEWER)
    used, expired, far = (bytes([number]) * 32 for number in (21, 22, 23))
    linked.links.add(used, "other", "proxy.example:443", "ops", now() + limits.LINK_LARGEST_SECONDS)
    linked.links.use(used, NEW)
    linked.links.add(expired, "other", "proxy.example:443", "ops", now() + 60)
    now.seconds += limits.LINK_KEPT_SECONDS
    linked.links.add(far, "acme", "proxy.example:443", "ops", now() + limits.LINK_LARGEST_SECONDS)
    assert len(linked.links.list()) == 4
    now.seconds += 1
    linked.links.add(STRANGE, "acme", "proxy.example:443", "ops", now() + 60)
    assert {one.digest for one in linked.links.list()} == {LINK, expired, far, STRANGE}
    now.seconds += 60
    linked.links.add(bytes([24]) * 32, "acme", "proxy.example:443", "ops", now() + 60)
    assert {one.digest for one in linked.links.list()} == {far, STRANGE, bytes([24]) * 32}
    assert linked.links.find(far) is not None
