"""Agents of the second version: tokens, scope, expiry, pause, removal; test_store.py has their keys and ports."""

import pytest

from socksfusion.registry.store import RefusedChange, Registry
from tests.registry.conftest import NEW, NEWER, OLD, Now

TOKEN = b"t" * 32


def test_all_that_an_agent_can_be_added_with(registry: Registry, now: Now) -> None:
    registry.add_agent("acme", OLD, token=TOKEN, scope=("10.20.0.0/16", "2001:db8::/32"), expires=now.seconds + 5)
    agent = registry.agent("acme")
    assert (agent.token, agent.scope, agent.expires) == (TOKEN, ("10.20.0.0/16", "2001:db8::/32"), now.seconds + 5)
    assert registry.snapshot().agents["acme"] == agent
    assert "tttt" not in repr(agent)


def test_a_token_is_replaced(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    assert registry.agent("acme").token is None
    registry.set_token("acme", TOKEN)
    assert registry.snapshot().agents["acme"].token == TOKEN
    with pytest.raises(RefusedChange, match="there is no agent nobody"):
        registry.set_token("nobody", TOKEN)


def test_an_expired_agent_is_shut_out_like_a_revoked_one(registry: Registry, now: Now) -> None:
    registry.add_agent("acme", OLD, expires=now.seconds + 5)
    assert not registry.agent("acme").shut_out(now.seconds + 4.9)
    assert registry.agent("acme").shut_out(now.seconds + 5)
    now.seconds += 5
    assert registry.activate(OLD) is None
    assert [key.state for key in registry.agent_keys("acme")] == ["pending"]
    registry.renew_agent("acme", NEW, expires=None)
    assert registry.activate(NEW) is not None
    registry.revoke_agent("acme")
    assert registry.agent("acme").shut_out(now.seconds)


def test_a_new_copy_keeps_scope_and_expiry_unless_it_names_others(registry: Registry) -> None:
    registry.add_agent("acme", OLD, "proxy:443", scope=("10.0.0.0/8",), expires=9e9)
    registry.renew_agent("acme", NEW)
    agent = registry.agent("acme")
    assert (agent.proxy, agent.scope, agent.expires) == ("proxy:443", ("10.0.0.0/8",), 9e9)
    registry.renew_agent("acme", NEWER, "other:443", scope=(), expires=8e9)
    agent = registry.agent("acme")
    assert (agent.proxy, agent.scope, agent.expires) == ("other:443", (), 8e9)


def test_paused_by_its_admin(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.set_paused("acme", True, 9.0)
    agent = registry.snapshot().agents["acme"]
    assert (agent.paused, agent.paused_until) == (True, 9.0)
    registry.set_paused("acme", False, 9.0)
    agent = registry.agent("acme")
    assert (agent.paused, agent.paused_until) == (False, None)


def test_uninstalled_until_a_newer_copy_comes(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.activate(OLD)
    registry.set_uninstalled("acme")
    registry.activate(OLD)
    assert registry.agent("acme").uninstalled
    registry.renew_agent("acme", NEW)
    registry.activate(NEW)
    assert not registry.agent("acme").uninstalled


def test_a_removed_agents_name_is_free(registry: Registry) -> None:
    registry.add_agent("acme", OLD, scope=("10.0.0.0/8",))
    registry.remove_agent("acme")
    with pytest.raises(RefusedChange, match="there is no agent acme"):
        registry.remove_agent("acme")
    registry.add_agent("acme", NEW)
    assert registry.agent("acme").scope == ()
    assert registry.activate(OLD) is None
