import json
import re
import shutil
import socket
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from socksfusion import limits
from socksfusion.cli import scan as scan_commands
from socksfusion.identity.tokens import token_digest
from socksfusion.registry.schema import Scan, ScanNotes, Untested
from socksfusion.registry.store import Registry
from tests.cli.conftest import Command, told

NOT_TESTED = 3


@pytest.fixture
def staffed(ready: Command) -> Command:
    """With two agents."""
    for name in ("acme", "bolt"):
        assert ready("agent", "add", name).exit_code == 0
    return ready


@pytest.fixture
def scanned(staffed: Command, registry: Registry) -> Command:
    """With a scan ``one`` that left nothing open."""
    registry.scans.start(Scan("one", "acme", 1_800_000_000.0, None, 1_800_000_000.0))
    registry.scans.note({"one": ScanNotes(3, 100, 2000, {0: 3, 5: 97}, frozenset({"10.0.0.2"}))})
    return staffed


def start(run: Command, *arguments: str) -> dict[str, object]:
    result = run("scan", "start", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


# -- start --------------------------------------------------------------------------------------------------------


def test_start_prints_port_and_token(staffed: Command, registry: Registry) -> None:
    result = staffed("scan", "start", "acme")
    assert result.exit_code == 0
    [scan] = registry.scans.list()
    assert f"Its port: {scan.port};" in result.stdout
    token = re.search(r"^Its token: (\S+)$", result.stdout, re.MULTILINE)
    assert token is not None
    assert scan.token == token_digest(token[1])
    assert limits.SCAN_PORT_FIRST <= (scan.port or 0) <= limits.SCAN_PORT_LAST
    assert (scan.kind, scan.agent, scan.until, scan.hold) == ("explicit", "acme", None, None)
    assert "No Proxy works with this state folder" in result.stdout


def test_all_that_a_scan_can_be_started_with(staffed: Command, registry: Registry) -> None:
    started = start(
        staffed,
        "acme",
        "--port",
        "20123",
        "--for",
        "2h",
        "--allow",
        "10.0.0.0/8",
        "--connect-timeout",
        "3s",
        "--hold",
        "0s",
    )
    scan = registry.scans.get(str(started["id"]))
    assert (scan.port, scan.allow, scan.connect_timeout, scan.hold) == (20123, ("10.0.0.0/8",), 3.0, 0.0)
    assert scan.until == pytest.approx(scan.started + 7200)


def test_who_started_it(staffed: Command, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "eve\x1b[2J")
    started = start(staffed, "acme")
    assert registry.scans.get(str(started["id"])).by == r"eve\x1b[2J"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(scan_commands.os, "getuid", lambda: 54321)
    assert registry.scans.get(str(start(staffed, "bolt")["id"])).by == "54321"


def test_a_port_that_a_program_has_is_passed_over(staffed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(limits, "SCAN_PORT_FIRST", taken)
        monkeypatch.setattr(limits, "SCAN_PORT_LAST", taken)
        assert "no port is free for the scan; name one by --port" in told(staffed("scan", "start", "acme"))
        result = staffed("scan", "start", "acme", "--port", str(taken))
        assert result.exit_code == 2
        assert f"port {taken} on 127.0.0.1 is in use" in told(result)


def test_two_scans_have_two_ports(staffed: Command) -> None:
    assert start(staffed, "acme")["port"] != start(staffed, "acme")["port"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no agent nobody"),
        (["acme", "--port", "0"], "'--port'"),
        (["acme", "--for", "0s"], "'--for'"),
        (["acme", "--for", "2"], "2h"),
        (["acme", "--connect-timeout", "121s"], "at most 2m"),
        (["acme", "--hold", "6m"], "at most 5m"),
        (["acme", "--allow", "10.0.0.1/8"], "did you mean 10.0.0.0/8"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_starts(staffed: Command, registry: Registry, arguments: list[str], said: str) -> None:
    result = staffed("scan", "start", *arguments)
    assert result.exit_code == 2
    assert said in told(result)
    assert not registry.scans.list()


def test_no_scan_of_a_revoked_agent(staffed: Command) -> None:
    staffed("agent", "revoke", "acme")
    assert "agent acme is revoked" in told(staffed("scan", "start", "acme"))


# -- list and show ------------------------------------------------------------------------------------------------


def test_list(scanned: Command, registry: Registry) -> None:
    registry.scans.start(Scan("two", "bolt", 1_800_000_001.0, None, 0.0))
    registry.scans.end("two", 1_800_000_002.0, "stopped")
    headings, two, one = scanned("scan", "list").stdout.splitlines()
    assert headings.split()[:4] == ["ID", "STATE", "AGENT", "PORT"]
    assert two.split()[:4] == ["two", "stopped", "bolt", "-"]
    assert one.split()[-5:] == ["3", "97", "0", "0", "0"]
    assert [one["id"] for one in json.loads(scanned("scan", "list", "--json", "--running").stdout)] == ["one"]
    assert [one["id"] for one in json.loads(scanned("scan", "list", "--json", "--agent", "bolt").stdout)] == ["two"]
    assert "socksfusion scan start AGENT" in scanned("scan", "list", "--agent", "nobody").stdout


def test_a_complete_scan_ends_with_0(scanned: Command) -> None:
    result = scanned("scan", "show", "one")
    assert result.exit_code == 0
    facts = dict(re.findall(r"^([a-z ]+): +(.*)$", result.stdout, re.MULTILINE))
    assert facts["state"] == "running"
    assert (facts["open"], facts["closed"], facts["not tested"], facts["cut"]) == ("3", "97", "0", "0")
    assert (facts["dialled from"], facts["to clients"]) == ("10.0.0.2", "2,000 bytes")


@pytest.mark.parametrize("what", ["cut", "not tested"])
@pytest.mark.parametrize("command", ["show", "stop"])
def test_3_where_anything_was_not_tested(scanned: Command, registry: Registry, what: str, command: str) -> None:
    registry.scans.add_untested([Untested("one", 5.0, "192.0.2.1", 80, what, "carrier lost")])  # type: ignore[arg-type]
    result = scanned("scan", command, "one")
    assert result.exit_code == NOT_TESTED
    assert re.search(rf"^{what}: +1$", result.stdout, re.MULTILINE)
    assert result.stderr == "", "with the other meaning of 3 a line is there"


def test_3_where_the_state_folder_is_missing_is_told(ready: Command, tmp_path: Path) -> None:
    result = ready("scan", "show", "one", "--state", str(tmp_path / "none"))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert told(result)


def test_gaps(scanned: Command, registry: Registry) -> None:
    registry.scans.begin_gaps({"one": 1_800_000_010.25})
    registry.scans.end_gaps({"one": 1_800_000_015.5})
    registry.scans.add_untested(
        [
            Untested("one", 1_800_000_009.9, "192.0.2.1", 22, "cut", "carrier lost"),
            Untested("one", 1_800_000_012.0, "2001:db8::1", 80, "not tested", "no agent"),
            Untested("one", 1_800_000_099.0, "192.0.2.3", 80, "not tested", "a limit"),
        ]
    )
    result = scanned("scan", "show", "one", "--gaps")
    assert result.exit_code == NOT_TESTED
    gap, *listed = result.stdout.splitlines()[-5:]
    assert gap.endswith(": 5.25s, 2 targets")
    assert [line.split(maxsplit=1)[1] for line in listed] == [
        "192.0.2.1:22 cut: carrier lost",
        "[2001:db8::1]:80 not tested: no agent",
        "no gap: 1 targets",
        "192.0.2.3:80 not tested: a limit",
    ]
    record = json.loads(scanned("scan", "show", "one", "--gaps", "--json").stdout)
    assert record["complete"] is False
    [span] = record["gaps"]
    began, ended = (datetime.fromisoformat(span[name]) for name in ("began", "ended"))
    assert (began.timestamp(), ended.timestamp()) == (1_800_000_010.25, 1_800_000_015.5)
    assert [one["port"] for one in record["untested"]] == [22, 80, 80]
    assert "untested" not in json.loads(scanned("scan", "show", "one", "--json").stdout)


def leave(registry: Registry, *targets: tuple[str, int]) -> None:
    registry.scans.add_untested([Untested("one", 5.0, host, port, "cut", "carrier lost") for host, port in targets])


def test_targets_are_hosts_that_nmap_reads(scanned: Command, registry: Registry, tmp_path: Path) -> None:
    nmap = shutil.which("nmap")
    if nmap is None:
        pytest.skip("nmap is not installed")
    leave(registry, ("192.0.2.9", 443), ("192.0.2.1", 22), ("192.0.2.9", 80), ("10.0.0.0/8", 1), ("2001:db8::1", 81))
    result = scanned("scan", "show", "one", "--targets")
    assert result.exit_code == NOT_TESTED
    (tmp_path / "again.txt").write_text(result.stdout)
    for family, expected in ([], ["192.0.2.1", "192.0.2.9"]), (["-6"], ["2001:db8::1"]):
        listed = subprocess.run(
            [nmap, *family, "-sL", "-n", "-iL", str(tmp_path / "again.txt")], capture_output=True, text=True, check=True
        )
        assert sorted(re.findall(r"^Nmap scan report for (\S+)$", listed.stdout, re.MULTILINE)) == expected


def test_what_stands_beside_the_targets(scanned: Command, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNTESTED_PER_SCAN", 7)
    hosts = ("192.0.2.9", "host.example", "-iL", "#x", "a b", "10.0.0.0/8", "192.0.2.9", "left.example")
    leave(registry, *((host, port) for port, host in enumerate(hosts, 80)))
    result = scanned("scan", "show", "one", "--targets")
    assert result.stdout == "192.0.2.9\nhost.example\n"
    assert result.stderr.splitlines() == [
        "their ports: -p 80-86",
        "left out: 4 that are neither a host name nor an address",
        "left out: 1 that were only counted",
    ]


def test_no_targets(scanned: Command) -> None:
    result = scanned("scan", "show", "one", "--targets")
    assert (result.exit_code, result.output) == (0, "")
    assert scanned("scan", "show", "one", "--targets", "--json").exit_code == 2


# -- stop, prune, watch -------------------------------------------------------------------------------------------


def test_stop(staffed: Command, registry: Registry) -> None:
    id_ = str(start(staffed, "acme", "--port", "20124")["id"])
    result = staffed("scan", "stop", id_)
    assert result.exit_code == 0
    assert "stopped" in result.stdout
    assert registry.scans.get(id_).why_ended == "stopped"
    assert "had ended already; nothing was changed" in staffed("scan", "stop", id_).stdout
    refused = staffed("scan", "start", "bolt", "--port", "20124")
    assert refused.exit_code == 2
    assert "reserved for 30 more days" in told(refused)
    assert start(staffed, "acme", "--port", "20124")["port"] == 20124


def test_stop_waits_for_what_a_running_proxy_still_writes(
    scanned: Command, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.serve()
    waited: list[float] = []

    def proxy_writes(seconds: float) -> None:
        waited.append(seconds)
        registry.scans.note({"one": ScanNotes(results={1: 1})})

    monkeypatch.setattr(scan_commands.time, "sleep", proxy_writes)
    assert scanned("scan", "stop", "one").exit_code == NOT_TESTED
    assert waited == [pytest.approx(limits.REGISTRY_POLL_SECONDS + limits.REGISTRY_WRITE_SECONDS, abs=1.0)]


def test_a_scan_whose_time_is_over_ends_without_a_proxy(staffed: Command, registry: Registry) -> None:
    registry.scans.start(Scan("one", "acme", 5.0, None, 5.0, kind="explicit", port=20125, until=10.0))
    assert "over" in staffed("scan", "show", "one").stdout
    assert registry.scans.get("one").ended == 10.0


def test_prune(scanned: Command, registry: Registry) -> None:
    registry.scans.end("one", 10.0, "stopped")
    registry.scans.start(Scan("two", "acme", 5.0, None, 5.0))
    assert "Forgot 0 scans" in scanned("scan", "prune", "--older-than", "36500d").stdout
    assert "Forgot 1 scan." in scanned("scan", "prune").stdout
    assert [scan.id for scan in registry.scans.list()] == ["two"]


@pytest.mark.parametrize("command", ["show", "stop", "watch"])
def test_no_such_scan(ready: Command, command: str) -> None:
    result = ready("scan", command, "nothing\x1b")
    assert result.exit_code == 2
    assert "there is no such scan; see: socksfusion scan list" in told(result)
