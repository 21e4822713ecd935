import json
import stat
import time
from pathlib import Path

import pytest
from cryptography import x509

from socksfusion.cli.tables import moment
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.keys import key_digest
from socksfusion.identity.state import StateFolder
from socksfusion.registry.schema import Seen
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command, told


def digest(path: str) -> bytes:
    return key_digest(x509.load_pem_x509_certificate(AgentCopy.load(Path(path)).certificate_pem))


# -- add and renew ------------------------------------------------------------------------------------------------


def test_add_writes_the_copy_and_registers_its_key(ready: Command, registry: Registry, folder: StateFolder) -> None:
    result = ready("agent", "add", "acme")
    assert result.exit_code == 0
    assert "socksfusion-agent --copy acme.agent" in result.stdout
    copy = AgentCopy.load(Path("acme.agent"))
    assert (copy.agent, copy.proxy, copy.ca_pem) == ("acme", "proxy.example.org:443", folder.ca_pem())
    assert stat.S_IMODE(Path("acme.agent").stat().st_mode) == 0o600
    assert [(key.digest, key.state) for key in registry.agent_keys("acme")] == [(digest("acme.agent"), "pending")]


def test_add_with_an_address_and_a_file(ready: Command, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere.agent"
    assert ready("agent", "add", "acme", "--proxy", "[::1]:8443", "--out", str(out)).exit_code == 0
    assert AgentCopy.load(out).proxy == "[::1]:8443"


def test_add_with_several_addresses(ready: Command, registry: Registry) -> None:
    assert ready("agent", "add", "acme", "--proxy", "proxy.example.org, [::1]:8443").exit_code == 0
    assert AgentCopy.load(Path("acme.agent")).proxy == "proxy.example.org:443,[::1]:8443"
    assert ready("agent", "renew", "acme", "--out", "again.agent").exit_code == 0
    assert AgentCopy.load(Path("again.agent")).proxy == "proxy.example.org:443,[::1]:8443"
    assert "not for a.example" in told(ready("agent", "add", "other", "--proxy", "proxy.example.org,a.example"))
    assert "is no HOST:PORT" in told(ready("agent", "add", "other", "--proxy", "proxy.example.org,b:x"))


def test_the_private_key_is_nowhere_but_in_the_copy(ready: Command, folder: StateFolder) -> None:
    result = ready("agent", "add", "acme")
    key = AgentCopy.load(Path("acme.agent")).key_pem.decode()
    secret = key.splitlines()[1]
    assert secret not in result.output
    for entry in folder.path.iterdir():
        assert secret.encode() not in entry.read_bytes(), entry


def test_add_without_a_name_for_the_proxy(run: Command) -> None:
    run("init")
    result = run("agent", "add", "acme")
    assert result.exit_code == 2
    assert "--proxy HOST:PORT" in told(result)
    assert not Path("acme.agent").exists()


def test_add_refuses_an_address_that_the_certificate_does_not_have(ready: Command) -> None:
    result = ready("agent", "add", "acme", "--proxy", "other.example.org:443")
    assert result.exit_code == 2
    assert "socksfusion init --name other.example.org" in told(result)


def test_add_never_replaces_a_file(ready: Command, registry: Registry) -> None:
    Path("acme.agent").write_text("mine")
    result = ready("agent", "add", "acme")
    assert result.exit_code == 2
    assert "exists already; give another name by --out" in told(result)
    assert Path("acme.agent").read_text() == "mine"
    assert registry.agents() == []


def test_add_where_no_file_can_be(ready: Command, registry: Registry) -> None:
    result = ready("agent", "add", "acme", "--out", "no/such/acme.agent")
    assert result.exit_code == 3
    assert "can't write no/such/acme.agent" in told(result)
    assert registry.agents() == []


def test_a_name_that_is_taken(ready: Command) -> None:
    ready("agent", "add", "acme")
    result = ready("agent", "add", "acme", "--out", "second.agent")
    assert result.exit_code == 2
    assert "socksfusion agent renew acme" in told(result)
    assert not Path("second.agent").exists()


def test_a_copy_that_could_not_be_registered_is_taken_back(
    ready: Command, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setattr(Registry, "check_new", lambda _registry, _name: None)
    registry.add_agent("acme", b"1" * 32)
    assert ready("agent", "add", "acme").exit_code == 2
    assert not Path("acme.agent").exists()


def test_renew_leaves_the_older_copy_until_the_new_one_connects(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    registry.activate(digest("acme.agent"))
    assert ready("agent", "renew", "acme").exit_code == 2, "the file is there"
    result = ready("agent", "renew", "acme", "--out", "new.agent")
    assert result.exit_code == 0
    assert "--copy new.agent" in result.stdout
    states = {key.digest: key.state for key in registry.agent_keys("acme")}
    assert states == {digest("acme.agent"): "active", digest("new.agent"): "pending"}


def test_renew_keeps_the_address_that_add_was_given(ready: Command) -> None:
    ready("init", "--name", "192.0.2.1")
    ready("agent", "add", "acme", "--proxy", "192.0.2.1:8443")
    ready("agent", "renew", "acme", "--out", "second.agent")
    assert AgentCopy.load(Path("second.agent")).proxy == "192.0.2.1:8443"
    assert "192.0.2.1:8443" in ready("agent", "show", "acme").stdout
    assert json.loads(ready("agent", "show", "acme", "--json").stdout)["proxy"] == "192.0.2.1:8443"


def test_renew_with_another_address_keeps_that_one(ready: Command) -> None:
    ready("agent", "add", "acme", "--proxy", "proxy.example.org:8443")
    ready("agent", "renew", "acme", "--out", "second.agent", "--proxy", "proxy.example.org:9443")
    ready("agent", "renew", "acme", "--out", "third.agent")
    for copy in ("second.agent", "third.agent"):
        assert AgentCopy.load(Path(copy)).proxy == "proxy.example.org:9443"


def test_renew_without_an_address_takes_the_usual_one(ready: Command) -> None:
    ready("agent", "add", "acme")
    assert "the first name given to init, port 443" in ready("agent", "show", "acme").stdout
    ready("agent", "renew", "acme", "--out", "second.agent")
    assert AgentCopy.load(Path("second.agent")).proxy == "proxy.example.org:443"


# -- list and show ------------------------------------------------------------------------------------------------


def test_an_empty_list(ready: Command) -> None:
    assert "socksfusion agent add NAME" in ready("agent", "list").stdout
    assert json.loads(ready("agent", "list", "--json").stdout) == []


def test_list_and_show(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    ready("agent", "add", "quiet")
    registry.serve()
    registry.write_seen([Seen("acme", True, 1_800_000_000.0, "192.0.2.7:4000", "1.2", "carrier\x1b lost")])
    lines = ready("agent", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAME", "STATE"], ["acme", "connected"], ["quiet", "new"]]
    for shown in (lines[1], ready("agent", "show", "acme").stdout):
        for part in ("192.0.2.7:4000", "1.2", str(moment(1_800_000_000.0)), r"carrier\x1b lost"):
            assert part in shown
    assert digest("acme.agent").hex() in ready("agent", "show", "acme").stdout


def test_json(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme")
    registry.serve()
    registry.write_seen([Seen("acme", True, 1_800_000_000.0, "192.0.2.7:4000", "1.2")])
    [record] = json.loads(ready("agent", "list", "--json").stdout)
    assert record["created"]
    assert {name: value for name, value in record.items() if name != "created"} == {
        "name": "acme",
        "connected": True,
        "revoked": False,
        "port": None,
        "proxy": None,
        "last_seen": moment(1_800_000_000.0),
        "last_address": "192.0.2.7:4000",
        "last_version": "1.2",
        "last_error": None,
        "scope": [],
        "expires": None,
        "paused": False,
        "paused_until": None,
        "uninstalled": False,
    }
    shown = json.loads(ready("agent", "show", "acme", "--json").stdout)
    assert [key["state"] for key in shown.pop("keys")] == ["pending"]
    assert shown == record


def test_nobody_is_connected_without_a_proxy(ready: Command, registry: Registry) -> None:
    """A Proxy that was killed could not write that its agents are gone."""
    ready("agent", "add", "acme")
    registry.write_seen([Seen("acme", True, 1_800_000_000.0)])
    [record] = json.loads(ready("agent", "list", "--json").stdout)
    assert record["connected"] is False
    assert "offline" in ready("agent", "list").stdout


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["show", "x"],
        ["renew", "x"],
        ["revoke", "x"],
        ["restore", "x"],
        ["port", "x", "1081"],
        ["remove", "x"],
        ["token", "x"],
    ],
)
def test_unknown_agents(ready: Command, command: list[str]) -> None:
    result = ready("agent", *command)
    assert result.exit_code == 2
    assert "there is no agent x; see: socksfusion agent list" in told(result)


@pytest.mark.parametrize("name", ["a/b", "../x", "", "a\x1b", "\ud800", "x" * 65, "'; DROP TABLE agents; --"])
def test_hostile_names(ready: Command, registry: Registry, name: str) -> None:
    """Row H3."""
    for command in (["add", name], ["show", name], ["revoke", name], ["port", name, "1"]):
        result = ready("agent", *command)
        assert result.exit_code == 2
        assert told(result).isprintable()
    assert registry.agents() == []
    assert list(Path().iterdir()) == []


# -- scope and expiry ---------------------------------------------------------------------------------------------


def test_scope_and_expiry_stand_in_the_registry_and_in_the_copy(ready: Command, registry: Registry) -> None:
    before = time.time()
    ready("agent", "add", "acme", "--scope", "10.20.0.0/16,192.0.2.7", "--expires", "14d")
    agent, copy = registry.agent("acme"), AgentCopy.load(Path("acme.agent"))
    assert agent.scope == copy.scope == ("10.20.0.0/16", "192.0.2.7/32")
    assert agent.expires == copy.expires == pytest.approx(before + 14 * 86400, abs=60)
    shown = ready("agent", "show", "acme").stdout
    assert "10.20.0.0/16, 192.0.2.7/32" in shown
    assert moment(agent.expires) in shown  # type: ignore[operator]


def test_renew_keeps_them_or_takes_others(ready: Command, registry: Registry) -> None:
    ready("agent", "add", "acme", "--scope", "10.20.0.0/16", "--expires", "14d")
    first = registry.agent("acme")
    ready("agent", "renew", "acme", "--out", "2.agent")
    assert (registry.agent("acme").scope, registry.agent("acme").expires) == (first.scope, first.expires)
    assert (AgentCopy.load(Path("2.agent")).scope, AgentCopy.load(Path("2.agent")).expires) == (
        first.scope,
        first.expires,
    )
    ready("agent", "renew", "acme", "--out", "3.agent", "--scope", "none", "--expires", "never")
    assert (registry.agent("acme").scope, registry.agent("acme").expires) == ((), None)
    assert (AgentCopy.load(Path("3.agent")).scope, AgentCopy.load(Path("3.agent")).expires) == ((), None)


def test_an_expired_agent_is_told(ready: Command, registry: Registry) -> None:
    registry.add_agent("acme", b"x" * 32, expires=5.0)
    assert ready("agent", "list").stdout.splitlines()[1].split()[:2] == ["acme", "expired"]


@pytest.mark.parametrize("command", [["add", "acme"], ["renew", "acme"]], ids=" ".join)
def test_wrong_scope_and_expiry(ready: Command, registry: Registry, command: list[str]) -> None:
    registry.add_agent(*("other" if command[0] == "add" else "acme", b"x" * 32))
    for wrong in (["--scope", "10.0.0.1/8"], ["--expires", "2"], ["--expires", "0s"]):
        result = ready("agent", *command, *wrong)
        assert result.exit_code == 2
        assert told(result)
    assert list(Path().iterdir()) == []
