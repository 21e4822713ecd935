"""Names at the Agent: one look-up for equal names, bounded, in time, in threads that can't stop the program."""

import socket
import threading
from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksfusion.agent.names import NameNotFound, NameTimedOut, Resolver, ResolverFailed, look_up
from socksfusion.agent.threads import start_thread
from socksfusion.wire.socks5 import Reply


class Bench:
    """A resolver whose threads are run by hand."""

    def __init__(self, *, threads: int = 2, waiting: int = 2) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.answers: dict[str, list[str] | Exception] = {}
        self.work: list[Callable[[], None]] = []
        self.resolver = Resolver(
            self.clock,
            lambda call, *arguments: call(*arguments),
            look_up=self.look_up,
            run=self.work.append,
            threads=threads,
            waiting=waiting,
        )

    def look_up(self, name: str) -> list[str]:
        self.asked.append(name)
        answer = self.answers.get(name, ["192.0.2.1"])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run_one(self) -> None:
        self.work.pop(0)()


def result_of(deferred: "Deferred[list[str]]") -> list[str] | Failure | None:
    results: list[list[str] | Failure] = []
    deferred.addBoth(results.append)
    return results[0] if results else None


def error_of(deferred: "Deferred[list[str]]") -> BaseException:
    result = result_of(deferred)
    assert isinstance(result, Failure)
    assert result.value is not None
    return result.value


def test_a_name_is_looked_up_in_a_thread() -> None:
    bench = Bench()
    answer = bench.resolver.resolve("db.example")
    assert not answer.called
    bench.run_one()
    assert result_of(answer) == ["192.0.2.1"]
    assert bench.resolver.running == 0
    assert not bench.clock.getDelayedCalls()


def test_equal_names_share_one_look_up_and_none_is_kept_for_later() -> None:
    bench = Bench()
    answers = [bench.resolver.resolve(name) for name in ("db.example", "DB.example", "db.EXAMPLE")]
    bench.run_one()
    assert [result_of(answer) for answer in answers] == [["192.0.2.1"]] * 3
    assert bench.asked == ["db.example"]
    bench.resolver.resolve("db.example")
    assert len(bench.work) == 1


def test_look_ups_above_the_threads_wait_in_order() -> None:
    bench = Bench(threads=1)
    first, second, third = (bench.resolver.resolve(name) for name in ("a", "b", "c"))
    assert (bench.resolver.running, bench.resolver.queued) == (1, 2)
    bench.run_one()
    assert result_of(first)
    assert not second.called
    bench.run_one()
    bench.run_one()
    assert bench.asked == ["a", "b", "c"]
    assert result_of(third)


def test_j3_a_full_queue_is_told_as_not_tested() -> None:
    bench = Bench(threads=1, waiting=1)
    bench.resolver.resolve("a")
    bench.resolver.resolve("b")
    error = error_of(bench.resolver.resolve("c"))
    assert isinstance(error, ResolverFailed)
    assert error.reply is Reply.GENERAL_FAILURE
    assert not error.tried
    assert not bench.resolver.resolve("b").called, "a name that waits already takes no room"


def test_f4_a_silent_server_costs_five_seconds_and_one_thread() -> None:
    bench = Bench()
    answer = bench.resolver.resolve("silent.example")
    bench.clock.advance(4.9)
    assert not answer.called
    bench.clock.advance(0.1)
    error = error_of(answer)
    assert isinstance(error, NameTimedOut)
    assert error.reply is Reply.HOST_UNREACHABLE
    assert error.tried
    again = bench.resolver.resolve("silent.example")
    assert bench.resolver.running == 1, "the thread that hangs is the only one for that name"
    bench.run_one()
    assert result_of(again) == ["192.0.2.1"]


def test_j3_a_look_up_that_never_got_a_thread_is_told_as_not_tested() -> None:
    bench = Bench(threads=1)
    hangs = bench.resolver.resolve("silent.example")
    waits = bench.resolver.resolve("db.example")
    bench.clock.advance(5)
    assert isinstance(error_of(hangs), NameTimedOut)
    error = error_of(waits)
    assert isinstance(error, ResolverFailed)
    assert not error.tried
    assert bench.resolver.queued == 0
    bench.run_one()
    assert bench.asked == ["silent.example"], "nobody waits for the other any more"


def test_cancelling_leaves_the_others() -> None:
    bench = Bench(threads=1)
    bench.resolver.resolve("a")
    gone, stays = bench.resolver.resolve("b"), bench.resolver.resolve("b")
    gone.cancel()
    assert isinstance(error_of(gone), CancelledError)
    assert bench.resolver.queued == 1
    stays.cancel()
    assert isinstance(error_of(stays), CancelledError)
    assert bench.resolver.queued == 0
    bench.run_one()
    assert bench.asked == ["a"]
    assert not bench.work


def test_a_cancelled_look_up_that_was_under_way_ends_without_a_word() -> None:
    bench = Bench()
    answer = bench.resolver.resolve("a")
    answer.cancel()
    assert isinstance(error_of(answer), CancelledError)
    bench.run_one()
    assert bench.resolver.running == 0


@pytest.mark.parametrize(
    ("cause", "kind", "reply"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NameNotFound, Reply.HOST_UNREACHABLE),
        (socket.gaierror(socket.EAI_AGAIN, "servers silent"), NameNotFound, Reply.HOST_UNREACHABLE),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), ResolverFailed, Reply.GENERAL_FAILURE),
        (OSError(24, "too many open files"), ResolverFailed, Reply.GENERAL_FAILURE),
        (UnicodeError("label too long"), NameNotFound, Reply.HOST_UNREACHABLE),
        (ZeroDivisionError(), ResolverFailed, Reply.GENERAL_FAILURE),
    ],
)
def test_what_a_failed_look_up_tells(cause: Exception, kind: type[Exception], reply: Reply) -> None:
    bench = Bench()
    bench.answers["x"] = cause
    answer = bench.resolver.resolve("x")
    bench.run_one()
    error = error_of(answer)
    assert isinstance(error, kind)
    assert error.reply is reply  # type: ignore[attr-defined]


def test_a_name_without_an_address_is_not_found() -> None:
    bench = Bench()
    bench.answers["x"] = []
    answer = bench.resolver.resolve("x")
    bench.run_one()
    assert isinstance(error_of(answer), NameNotFound)


def test_j3_no_thread_left() -> None:
    def no_thread(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver(Clock(), lambda call, *arguments: call(*arguments), run=no_thread)
    assert isinstance(error_of(resolver.resolve("a")), ResolverFailed)
    assert resolver.running == 0


@pytest.mark.parametrize("name", ["", "127.0.0.1\0.example", "a" * 254, "\udcff", "x." + "\u00e9" * 64])
def test_c1_what_is_no_name_never_reaches_the_system(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: pytest.fail("asked"))
    with pytest.raises(ValueError):
        look_up(name)


def test_addresses_come_in_the_system_s_order_once_and_with_their_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(host: bytes, port: None, **_more: object) -> list[object]:
        assert host == b"db.example"
        return [
            (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0)),
            (socket.AF_INET6, 1, 6, "", ("fe80::1", 0, 0, 3)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", 0)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    assert look_up("db.example") == ["2001:db8::1", "fe80::1%3", "192.0.2.1"]


def test_an_international_name_is_asked_for_in_its_ascii_form(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answers(host: bytes, port: None, **_more: object) -> list[object]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    look_up("b\u00fccher.example")
    # RFC 3492's algorithm, as every registrar shows it for this word
    assert asked == [b"xn--bcher-kva.example"]


def test_a_real_thread_does_not_keep_the_program_from_ending() -> None:
    ran = threading.Event()
    daemons: list[bool] = []

    def work() -> None:
        daemons.append(threading.current_thread().daemon)
        ran.set()

    start_thread(work)
    assert ran.wait(10)
    assert daemons == [True]
