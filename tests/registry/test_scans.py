"""Scans in the registry: begin, end, ports; test_records.py has what they found."""

from dataclasses import replace

import pytest

from socksfusion.errors import OperatorError
from socksfusion.registry.schema import Gap, Scan, Untested
from socksfusion.registry.store import RefusedChange, Registry
from tests.registry.conftest import NEW, OLD, Now

DAY = 86400.0


@pytest.fixture(autouse=True)
def agents(registry: Registry) -> None:
    registry.add_agent("acme", OLD)
    registry.add_agent("bolt", NEW)


def explicit(id_: str, agent: str = "acme", port: int | None = 20000, until: float | None = None) -> Scan:
    return Scan(id_, agent, 5.0, None, 5.0, "explicit", "alice", port, b"t" * 32, until)


def test_an_explicit_scan_is_kept_whole(registry: Registry) -> None:
    scan = Scan(
        "one", "acme", 5.0, None, 5.0, "explicit", "alice", 20000, b"t" * 32, 9e9, ("10.0.0.0/8", "fd00::/8"), 3.0, 0.5
    )
    assert registry.scans.start(scan) == scan
    assert registry.scans.get("one") == scan
    assert dict(registry.snapshot().scans) == {"one": scan}
    assert "tttt" not in repr(scan)


def test_begin_touch_end(registry: Registry) -> None:
    scans = registry.scans
    scans.start(Scan("one", "acme", 5.0, None, 5.0))
    scans.start(Scan("two", "acme", 6.0, None, 6.0))
    scans.touch({"one": 7.0, "unknown": 8.0})
    scans.touch({})
    assert scans.end("two", 9.0, "idle")
    assert not scans.end("two", 10.0, "stopped")
    assert not scans.end("unknown", 10.0, "stopped")
    assert dict(registry.snapshot().scans) == {"one": Scan("one", "acme", 5.0, None, 7.0)}
    assert scans.get("two") == Scan("two", "acme", 6.0, 9.0, 6.0, why_ended="idle")
    assert [scan.id for scan in scans.list()] == ["two", "one"], "the newest first"
    assert [scan.id for scan in scans.list("bolt")] == []


def test_an_end_closes_the_open_gap(registry: Registry) -> None:
    registry.scans.start(explicit("one"))
    registry.scans.begin_gaps({"one": 6.0})
    registry.scans.end("one", 8.0, "stopped")
    assert registry.scans.gaps("one") == (Gap("one", 6.0, 8.0),)


def test_no_such_scan(registry: Registry) -> None:
    with pytest.raises(RefusedChange, match="there is no such scan; see: socksfusion scan list"):
        registry.scans.get("'; DROP TABLE scans; --")


@pytest.mark.parametrize("kind", ["implicit", "explicit"])
def test_no_scan_of_an_agent_that_is_not_there(registry: Registry, kind: str) -> None:
    with pytest.raises(RefusedChange, match="there is no agent nobody"):
        registry.scans.start(replace(explicit("one", "nobody"), kind=kind))  # type: ignore[arg-type]


def test_no_scan_by_command_of_an_agent_that_is_shut_out(registry: Registry, now: Now) -> None:
    registry.revoke_agent("acme")
    with pytest.raises(RefusedChange, match="agent acme is revoked"):
        registry.scans.start(explicit("one"))
    registry.add_agent("brief", b"b" * 32, expires=now.seconds + 5)
    registry.scans.start(explicit("one", "brief"))
    now.seconds += 5
    with pytest.raises(RefusedChange, match="agent brief has expired"):
        registry.scans.start(explicit("two", "brief", 20001))


# -- ports --------------------------------------------------------------------------------------------------------


def test_a_port_is_one_scans(registry: Registry) -> None:
    registry.set_port("bolt", 1081)
    registry.scans.start(explicit("one"))
    for agent in ("acme", "bolt"):
        with pytest.raises(RefusedChange, match="port 20000 is the running scan one's, of agent acme"):
            registry.scans.start(explicit("two", agent))
        with pytest.raises(RefusedChange, match="port 20000 is the running scan one's"):
            registry.set_port(agent, 20000)
        with pytest.raises(RefusedChange, match="port 1081 is agent bolt's"):
            registry.scans.start(explicit("two", agent, 1081))
    with pytest.raises(RefusedChange, match="from 1 to 65535"):
        registry.scans.start(explicit("two", port=65536))
    assert [scan.id for scan in registry.scans.list()] == ["one"]


def test_an_ended_scans_port_is_reserved_for_30_days(registry: Registry, now: Now) -> None:
    """A tool that goes on with it must not land in another customer's network; a pruned record changes nothing."""
    registry.scans.start(explicit("one"))
    registry.scans.end("one", now.seconds, "stopped")
    assert registry.scans.prune(now.seconds + 1) == 1
    now.seconds += 30 * DAY - 1
    with pytest.raises(RefusedChange, match=r"port 20000 was a scan's of agent acme.* reserved for 1 more days"):
        registry.scans.start(explicit("two", "bolt"))
    with pytest.raises(RefusedChange, match="reserved"):
        registry.set_port("bolt", 20000)
    now.seconds += 1
    registry.scans.start(explicit("two", "bolt"))


def test_the_same_agent_may_have_it_again_when_asked(registry: Registry, now: Now) -> None:
    registry.scans.start(explicit("one"))
    registry.scans.end("one", now.seconds, "stopped")
    registry.scans.start(explicit("two"))
    registry.scans.end("two", now.seconds + 5, "stopped")
    with pytest.raises(RefusedChange, match="reserved"):
        registry.scans.start(explicit("three", "bolt"))


def test_a_port_by_rule_is_the_first_that_is_nobodys_and_not_reserved(registry: Registry, now: Now) -> None:
    registry.set_port("bolt", 20001)
    registry.set_port("acme", 20002)
    registry.set_port("acme", None)
    registry.scans.start(explicit("one"))
    chosen = registry.scans.start(explicit("two", port=None), range(20000, 20005))
    assert chosen.port == 20003
    assert registry.scans.get("two").port == 20003
    registry.scans.end("one", now.seconds, "stopped")
    assert registry.scans.start(explicit("three", port=None), range(20000, 20005)).port == 20004
    with pytest.raises(RefusedChange, match="no port is free for the scan"):
        registry.scans.start(explicit("four", port=None), range(20000, 20005))
    now.seconds += 30 * DAY
    assert registry.scans.start(explicit("four", port=None), range(20000, 20005)).port == 20000


def test_a_removed_agents_port_is_chosen_by_nobody(registry: Registry) -> None:
    registry.set_port("bolt", 20000)
    registry.remove_agent("bolt")
    assert registry.scans.start(explicit("one", port=None), (20000, 20001)).port == 20001
    registry.set_port("acme", 20000)


def test_a_scan_whose_time_is_over_holds_no_port_where_no_proxy_ends_it(registry: Registry, now: Now) -> None:
    registry.scans.start(explicit("one", until=now.seconds + 10))
    registry.scans.begin_gaps({"one": now.seconds + 1})
    now.seconds += 60
    registry.scans.start(explicit("two"))
    over = registry.scans.get("one")
    assert (over.ended, over.why_ended) == (now.seconds - 50, "over")
    assert registry.scans.gaps("one") == (Gap("one", now.seconds - 59, now.seconds - 50),)


def test_end_overdue(registry: Registry, now: Now) -> None:
    registry.scans.start(explicit("one", until=now.seconds))
    registry.scans.start(explicit("two", port=20001, until=now.seconds + 1))
    registry.scans.start(explicit("three", port=20002))
    registry.scans.end_overdue()
    assert {scan.id for scan in registry.scans.list() if scan.ended is None} == {"two", "three"}


# -- removed agents, prune ----------------------------------------------------------------------------------------


def test_an_agent_with_a_running_scan_is_not_removed(registry: Registry) -> None:
    registry.scans.start(explicit("one"))
    with pytest.raises(RefusedChange, match=r"scan one of agent acme is running; .*: socksfusion scan stop one"):
        registry.remove_agent("acme")
    assert registry.agent_keys("acme")


def test_a_removed_agents_scans_stay_readable(registry: Registry) -> None:
    registry.scans.start(explicit("one"))
    registry.scans.end("one", 6.0, "stopped")
    registry.remove_agent("acme")
    assert [agent.name for agent in registry.agents()] == ["bolt"]
    assert registry.agent_keys("acme") == []
    assert registry.activate(OLD) is None
    assert registry.scans.get("one").agent == "acme"
    assert [scan.id for scan in registry.scans.list("acme")] == ["one"]


def test_prune_takes_ended_scans_with_all_that_they_found(registry: Registry) -> None:
    for number, id_ in enumerate(("old", "new", "running")):
        registry.scans.start(explicit(id_, port=20000 + number))
        registry.scans.begin_gaps({id_: 5.0})
        registry.scans.add_untested([Untested(id_, 5.0, "192.0.2.1", 80, "cut", "carrier lost")])
    registry.scans.end("old", 10.0, "stopped")
    registry.scans.end("new", 20.0, "stopped")
    assert registry.scans.prune(20.0) == 1
    assert registry.scans.prune(20.0) == 0
    assert {scan.id for scan in registry.scans.list()} == {"new", "running"}
    assert registry.scans.gaps("old") == registry.scans.untested("old") == ()
    assert len(registry.scans.untested("new")) == 1


def test_why_a_port_is_closed_is_kept_until_it_is_open(registry: Registry) -> None:
    scans = registry.scans
    scans.start(explicit("one"))
    scans.set_port_trouble("one", "in use\n")
    scans.set_port_trouble("unknown", "in use")
    assert scans.get("one").port_trouble == r"in use\x0a"
    scans.set_port_trouble("one", None)
    assert scans.get("one").port_trouble is None


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "'; DROP TABLE scans; --", "é"])
def test_h3_hostile_ids_and_names_are_no_scans(registry: Registry, text: str) -> None:
    registry.scans.start(explicit("one"))
    with pytest.raises(RefusedChange, match="there is no such scan"):
        registry.scans.get(text)
    with pytest.raises(OperatorError, match="can't be an agent's name"):
        registry.scans.list(text)
    assert [scan.id for scan in registry.scans.list()] == ["one"]
