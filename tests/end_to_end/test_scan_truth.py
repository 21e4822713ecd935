"""A scan tells the truth: a broken line changes no result, and what could not be tested is listed, with the time.

Scans by command come and go while the Proxy runs, and outlive it.
"""

import json
import socket
import threading
from datetime import datetime
from typing import Any

import pytest

from tests.end_to_end.forwarder import Forwarder
from tests.end_to_end.lines import SCAN, messages, wait_for
from tests.end_to_end.network import Target, echo, receive_exactly, reset, socks_ask, socks_connect, was_reset
from tests.end_to_end.programs import Installation, Program, free_port
from tests.end_to_end.scanner import found, scan, thousand_ports
from tests.end_to_end.scans import NOT_TESTED, run, show_scan, start_scan, wait_scan

OUTAGE_SECONDS = 5.0
QUICKLY_BACK = ("--reconnect-first", "0.2", "--reconnect-largest", "1")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def opens(port: int) -> bool:
    """Whether an open through a SOCKS port reaches its target."""
    with Target(echo) as target, socks_connect(port, "127.0.0.1", target.port) as client:
        client.sendall(b"scan")
        return receive_exactly(client, 4) == b"scan"


def seconds_of(gap: dict[str, str]) -> float:
    return (datetime.fromisoformat(gap["ended"]) - datetime.fromisoformat(gap["began"])).total_seconds()


def not_tested(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """What is listed so; an open port whose connection has not ended yet may be listed as cut besides."""
    return [one for one in shown["untested"] if one["what"] == "not tested"]


class TestBrokenLine:
    """1,000 ports, and the carrier cut for 5 s in the middle."""

    def test_it_finds_exactly_what_an_undisturbed_scan_finds(self, installed: Installation) -> None:
        copy = installed.add_agent("demo")
        proxy = installed.start_proxy()
        with Forwarder(installed.agents_port) as forwarder, thousand_ports() as ports:
            installed.start_agent(copy, "--proxy", f"localhost:{forwarder.port}", *QUICKLY_BACK)
            undisturbed = scan(installed.clients_port, "127.0.0.1", ports, at_once=50)
            assert sorted(set(found(undisturbed).values())) == [0, 5]

            started = start_scan(installed, "demo")

            def break_it(count: int) -> None:
                if count == 400:
                    forwarder.down = True
                    forwarder.cut()
                    threading.Timer(OUTAGE_SECONDS, setattr, (forwarder, "down", False)).start()

            disturbed = scan(started["port"], "127.0.0.1", ports, at_once=50, answered=break_it)
            assert found(disturbed) == found(undisturbed)
            assert max(answer.seconds for answer in disturbed) > OUTAGE_SECONDS - 0.5
        proxy.wait_log("is gone")
        shown = wait_scan(installed, started["id"], lambda shown: sum(shown["replies"].values()) == 1000)
        assert shown["replies"] == {"0x00": 25, "0x05": 975}
        assert shown["streams"] == 25
        (gap,) = [gap for gap in shown["gaps"] if gap["ended"]]
        assert seconds_of(gap) > OUTAGE_SECONDS - 1
        assert not_tested(shown) == []


class TestHoldIsOver:
    """What was not tested stands in the record, in a form for a second run."""

    def test_a_second_run_over_those_targets_completes_the_picture(self, installed: Installation) -> None:
        copy = installed.add_agent("demo")
        proxy = installed.start_proxy()
        agent = installed.start_agent(copy)
        started = start_scan(installed, "demo", "--hold", "1s")
        with thousand_ports() as thousand:
            ports = thousand[:100]
            whole = found(scan(installed.clients_port, "127.0.0.1", ports, at_once=20))
            first = found(scan(started["port"], "127.0.0.1", ports[:60], at_once=20))
            agent.kill()
            proxy.wait_log("is gone")
            first |= found(scan(started["port"], "127.0.0.1", ports[60:], at_once=20))
            untested = ports[60:]
            assert [port for port, reply in first.items() if reply == 1] == untested

            shown = wait_scan(installed, started["id"], lambda shown: len(not_tested(shown)) == len(untested))
            assert shown["results"]["not_tested"] == len(untested)
            listed = not_tested(shown)
            assert sorted(one["port"] for one in listed) == sorted(untested)
            assert {(one["host"], one["why"]) for one in listed} == {
                ("127.0.0.1", "agent demo did not come back within 1 s")
            }
            (gap,) = shown["gaps"]
            assert gap["ended"] is None
            assert all(datetime.fromisoformat(one["at"]) >= datetime.fromisoformat(gap["began"]) for one in listed)

            code, hosts, about = run(installed, "show", started["id"], "--targets")
            assert (code, hosts) == (NOT_TESTED, "127.0.0.1\n")
            second_run = self.ports_in(about)
            assert set(second_run) >= set(untested)

            installed.start_agent(copy)
            assert first | found(scan(started["port"], "127.0.0.1", second_run, at_once=20)) == whole
        assert run(installed, "stop", started["id"])[0] == NOT_TESTED

    @staticmethod
    def ports_in(about: str) -> list[int]:
        """The ports of ``their ports: -p 22,80-82``."""
        spans = [span.split("-") for span in about.split("-p ", 1)[1].split()[0].split(",")]
        return [port for span in spans for port in range(int(span[0]), int(span[-1]) + 1)]

    def test_a_client_that_does_not_wait_leaves_its_target_untested(self, installed: Installation) -> None:
        copy = installed.add_agent("demo")
        proxy = installed.start_proxy()
        agent = installed.start_agent(copy)
        started = start_scan(installed, "demo")
        agent.kill()
        proxy.wait_log("is gone")
        reset(socks_ask(started["port"], "10.1.2.3", 80))
        shown = wait_scan(installed, started["id"], lambda shown: bool(shown["untested"]))
        assert [(one["host"], one["port"], one["why"]) for one in shown["untested"]] == [
            ("10.1.2.3", 80, "its client went away before agent demo could be asked")
        ]
        assert shown["replies"] == {}

    def test_a_cut_stream_is_listed(self, installed: Installation) -> None:
        copy = installed.add_agent("demo")
        proxy = installed.start_proxy()
        agent = installed.start_agent(copy)
        started = start_scan(installed, "demo")
        with Target(echo) as target, socks_connect(started["port"], "127.0.0.1", target.port) as client:
            client.sendall(b"half a pa")
            assert receive_exactly(client, 9) == b"half a pa"
            agent.kill()
            proxy.wait_log("is gone")
            assert was_reset(client)
            shown = wait_scan(installed, started["id"], lambda shown: shown["cut"] == 1)
        assert [(one["what"], one["port"]) for one in shown["untested"]] == [("cut", target.port)]
        assert (shown["bytes_to_target"], shown["bytes_to_client"]) == (9, 9)
        assert shown["sources"] == ["127.0.0.1"]


class TestByCommand:
    """Another process starts and stops scans; the Proxy notices."""

    @staticmethod
    def serve(installed: Installation) -> tuple[Program, Program]:
        copy = installed.add_agent("demo")
        return installed.start_proxy(), installed.start_agent(copy, *QUICKLY_BACK)

    def test_it_begins_at_once_and_ends_with_its_port_and_its_streams(self, installed: Installation) -> None:
        proxy, agent = self.serve(installed)
        first, second = (start_scan(installed, "demo") for _ in range(2))
        wait_for(agent, SCAN, 2)
        with (
            Target(echo) as target,
            socks_connect(first["port"], "127.0.0.1", target.port) as client,
            socks_connect(second["port"], "127.0.0.1", target.port) as others,
        ):
            client.sendall(b"scan")
            assert receive_exactly(client, 4) == b"scan"
            code, said, _ = run(installed, "stop", first["id"])
            assert (code, "stopped" in said) == (0, True)
            assert was_reset(client)
            proxy.wait_log(f"port {first['port']} of scan {first['id']} of agent demo is closed")
            assert not is_listening(first["port"])
            others.sendall(b"goes on")
            assert receive_exactly(others, 7) == b"goes on"
        shown = show_scan(installed, first["id"])
        assert (shown["state"], shown["streams"], shown["bytes_to_target"]) == ("stopped", 1, 4)
        assert opens(second["port"])

    def test_its_time_is_over(self, installed: Installation) -> None:
        proxy, _ = self.serve(installed)
        started = start_scan(installed, "demo", "--for", "3s")
        assert opens(started["port"])
        proxy.wait_log(f"port {started['port']} of scan {started['id']} of agent demo is closed")
        assert not is_listening(started["port"])
        assert wait_scan(installed, started["id"], lambda shown: shown["state"] != "running")["state"] == "over"

    def test_revoke_ends_it(self, installed: Installation) -> None:
        proxy, _ = self.serve(installed)
        started = start_scan(installed, "demo")
        installed.admin("agent", "revoke", "demo")
        proxy.wait_log(f"port {started['port']} of scan {started['id']} of agent demo is closed")
        assert wait_scan(installed, started["id"], lambda shown: shown["state"] != "running")["state"] == "revoked"

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    def test_it_outlives_the_proxy_and_the_time_without_one_is_a_gap(self, installed: Installation, how: str) -> None:
        proxy, agent = self.serve(installed)
        started = start_scan(installed, "demo")
        wait_for(agent, SCAN)
        assert opens(started["port"])
        wait_scan(installed, started["id"], lambda shown: shown["streams"] == 1)
        proxy.stop() if how == "stopped" else proxy.kill()
        assert not is_listening(started["port"])

        proxy = installed.start_proxy()
        proxy.wait_log("agent demo serves")
        assert opens(started["port"])
        assert messages(agent).count(SCAN) == 1
        shown = wait_scan(installed, started["id"], lambda shown: shown["streams"] == 2)
        (gap,) = shown["gaps"]
        assert seconds_of(gap) > 0
        assert (shown["state"], shown["complete"]) == ("running", True)

    def test_a_port_in_use_is_told_in_the_log_once_and_in_show(self, installed: Installation) -> None:
        copy = installed.add_agent("demo")
        port = free_port()
        started = json.loads(installed.admin("scan", "start", "demo", "--port", str(port), "--json"))
        with socket.create_server(("127.0.0.1", port)):
            proxy = installed.start_proxy()
            proxy.wait_log(f"port {port} of scan {started['id']} of agent demo can't be opened")
            shown = wait_scan(installed, started["id"], lambda shown: bool(shown["port_trouble"]))
            assert "Address already in use; free it, or start the scan with another" in shown["port_trouble"]
            installed.start_agent(copy)
        proxy.wait_log(f"scan {started['id']} of agent demo has port {port}")
        assert sum("can't be opened" in line for line in proxy.log) == 1
        assert wait_scan(installed, started["id"], lambda shown: not shown["port_trouble"])
        assert opens(port)


def test_a_port_works_as_soon_as_the_command_is_back(installed: Installation) -> None:
    """The next line of a script is the tool: were it early, it would call every port closed."""
    copy = installed.add_agent("demo")
    installed.start_proxy()
    installed.start_agent(copy)
    for _ in range(3):
        port = free_port()
        installed.admin("scan", "start", "demo", "--port", str(port))
        assert opens(port)
    port = free_port()
    installed.admin("agent", "port", "demo", str(port))
    assert opens(port)
