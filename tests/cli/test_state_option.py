"""A command that changes the registry ends when a running Proxy goes by the change."""

import pytest

from socksfusion import limits
from socksfusion.cli import state_option
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command


class Waits:
    """A clock that goes on by what is slept; the Proxy hears of everything at ``hears`` seconds."""

    def __init__(self, registry: Registry, proxy: Registry, hears: float) -> None:
        self.now = 0.0
        self._hears = hears
        self._proxy = proxy
        state_option.wait_until_heard(registry, sleep=self._sleep, seconds=lambda: self.now)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._hears:
            self._proxy.tell_heard(self._proxy.snapshot().change)


@pytest.mark.parametrize(("hears", "lasts"), [(0.4, 0.4), (1e9, limits.HEARD_SECONDS)], ids=["it hears", "it is stuck"])
def test_a_running_proxy_is_waited_for(ready: Command, registry: Registry, hears: float, lasts: float) -> None:
    with Registry.open(registry.path) as proxy:
        assert proxy.serve()
        registry.clients.add("alice", b"t" * 32, agents=(), all_agents=True, allow=())
        assert Waits(registry, proxy, hears).now == pytest.approx(lasts, abs=0.05)


def test_nobody_is_waited_for(ready: Command, registry: Registry) -> None:
    with Registry.open(registry.path) as proxy:
        registry.clients.add("alice", b"t" * 32, agents=(), all_agents=True, allow=())
        assert Waits(registry, proxy, 0.0).now == 0, "no Proxy runs"
        assert proxy.serve()
        assert Waits(Registry.open(registry.path), proxy, 0.0).now == 0, "nothing was changed"
