"""Dialling by RFC 8305, and what each failure tells."""

import errno
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.agent.dial import DialFailed, Dialler, alternate, failure_of
from socksfusion.descriptors import Headroom
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_network import FakeNetwork
from tests.tunnel.pair import logged_failures


def mark(transport: Any) -> None:
    transport.prepared = True


class Dialling(FakeNetwork):
    """One dial over a fake network."""

    def __init__(self, addresses: Sequence[str] = ("192.0.2.1",), seconds: float = 10) -> None:
        super().__init__()
        self.results: list[Any] = []
        self.deferred: Deferred[Any] = Dialler(self.reactor, prepare=mark).dial(addresses, 80, seconds)
        self.deferred.addBoth(self.results.append)

    def failure(self) -> DialFailed:
        (result,) = self.results
        assert isinstance(result, Failure)
        assert isinstance(result.value, DialFailed)
        return result.value


def test_a_single_address_is_one_attempt_and_no_timer() -> None:
    dial = Dialling(["192.0.2.1"], seconds=7)
    assert dial.dialled == [("192.0.2.1", 80)]
    assert dial.limit(0) == 7
    assert not dial.reactor.getDelayedCalls()
    transport = dial.accept(0)
    assert dial.results == [transport]
    assert transport.prepared


def test_families_alternate_ipv6_first() -> None:
    assert alternate(["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3", "2001:db8::2"]) == [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
        "192.0.2.2",
        "192.0.2.3",
    ]


def test_attempts_start_250_ms_apart_and_share_the_limit() -> None:
    dial = Dialling(["192.0.2.1", "2001:db8::1", "192.0.2.2"])
    assert dial.hosts == ["2001:db8::1"]
    dial.reactor.advance(0.249)
    assert len(dial.hosts) == 1
    dial.reactor.advance(0.001)
    dial.reactor.advance(0.25)
    assert dial.hosts == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    assert [dial.limit(attempt) for attempt in range(3)] == [10, 9.75, 9.5]
    assert not dial.reactor.getDelayedCalls()


def test_the_next_starts_at_once_when_one_fails() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    dial.reactor.advance(0.1)
    dial.fail(0, errno.ENETUNREACH)
    assert dial.hosts == ["192.0.2.1", "192.0.2.2"]
    dial.reactor.advance(0.24)
    assert len(dial.hosts) == 2, "the delay counts from the latest start"
    dial.reactor.advance(0.01)
    assert len(dial.hosts) == 3


def test_the_first_that_connects_wins_and_the_others_end() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    dial.reactor.advance(0.25)
    transport = dial.accept(1)
    assert dial.results == [transport]
    assert dial.cancelled(0)
    assert not dial.cancelled(1)
    dial.reactor.advance(1)
    assert len(dial.hosts) == 2
    assert not dial.reactor.getDelayedCalls()


def test_a_late_success_of_an_ended_attempt_is_dropped() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2"])
    dial.reactor.advance(0.25)
    dial.accept(1)
    assert dial.reactor.tcpClients[0][2].buildProtocol(None) is None


def test_b4_cancelling_ends_every_attempt_at_once() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    dial.reactor.advance(0.25)
    dial.deferred.cancel()
    assert dial.cancelled(0)
    assert dial.cancelled(1)
    assert not dial.reactor.getDelayedCalls()
    assert isinstance(dial.results[0], Failure)
    assert dial.results[0].check(CancelledError)
    dial.time_out(0)


def test_when_the_time_is_over_no_further_attempt_starts() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2", "192.0.2.3"], seconds=0.3)
    dial.reactor.advance(0.25)
    assert dial.limit(1) == pytest.approx(0.05)
    dial.reactor.advance(0.05)
    dial.time_out(0)
    dial.time_out(1)
    assert dial.failure().reply is Reply.TTL_EXPIRED
    assert len(dial.hosts) == 2


def test_a_name_with_many_addresses_is_no_flood() -> None:
    dial = Dialling([f"192.0.2.{number}" for number in range(200)])
    for attempt in range(limits.ADDRESSES_PER_NAME):
        dial.fail(attempt, errno.ECONNREFUSED)
    assert len(dial.hosts) == limits.ADDRESSES_PER_NAME
    assert dial.failure().reply is Reply.REFUSED


@pytest.mark.parametrize(
    ("numbers", "reply"),
    [
        ((errno.ENETUNREACH, errno.ECONNREFUSED, errno.EHOSTUNREACH), Reply.REFUSED),
        ((errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTUNREACH), Reply.TTL_EXPIRED),
        ((errno.EHOSTUNREACH, errno.ENETUNREACH), Reply.HOST_UNREACHABLE),
        ((errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EACCES), Reply.NETWORK_UNREACHABLE),
        ((errno.EACCES, errno.EADDRNOTAVAIL), Reply.NOT_ALLOWED),
        ((errno.EADDRNOTAVAIL, errno.EINVAL), Reply.GENERAL_FAILURE),
        ((errno.ECONNREFUSED, errno.ECONNRESET), Reply.SUCCEEDED),
    ],
)
def test_of_several_failures_the_most_telling_is_reported(numbers: Sequence[int], reply: Reply) -> None:
    dial = Dialling([f"192.0.2.{number}" for number in range(len(numbers))])
    for attempt, number in enumerate(numbers):
        dial.fail(attempt, number)
    assert dial.failure().reply is reply


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ECONNREFUSED, 5),
        (errno.ETIMEDOUT, 6),
        (errno.EHOSTUNREACH, 4),
        (errno.ENETUNREACH, 3),
        (errno.EACCES, 2),
        (errno.EPERM, 2),
        (errno.EADDRNOTAVAIL, 1),
        (errno.EMFILE, 1),
        (errno.ENOBUFS, 1),
        (errno.EINVAL, 1),
    ],
)
def test_j3_the_reply_of_an_errno(number: int, reply: int) -> None:
    dial = Dialling()
    dial.fail(0, number)
    failure = dial.failure()
    assert failure.reply == reply
    assert failure.tried
    assert f"(errno={errno.errorcode[number]})" in str(failure)
    assert failure.rule == ("dial" if reply == 1 else ""), "our own errors are logged, a target's are not"


def hang_up(dial: Dialling, attempt: int) -> None:
    """As Twisted's poll and epoll reactors report EPOLLHUP without EPOLLIN on a socket that still connects."""
    dial.end(attempt, error.ConnectError(string=Failure(error.ConnectionLost())))


def test_a_hang_up_without_an_errno_is_tried_again_until_the_target_has_told() -> None:
    dial = Dialling(["192.0.2.1"])
    hang_up(dial, 0)
    assert dial.hosts == ["192.0.2.1"] * 2
    dial.fail(1, errno.ECONNREFUSED)
    assert dial.failure().reply is Reply.REFUSED


def test_it_is_not_tried_for_ever_and_other_addresses_go_on() -> None:
    dial = Dialling(["192.0.2.1", "192.0.2.2"])
    for attempt in range(limits.UNEXPLAINED_ATTEMPTS):
        hang_up(dial, attempt)
    assert dial.hosts == ["192.0.2.1"] * limits.UNEXPLAINED_ATTEMPTS + ["192.0.2.2"]
    dial.fail(limits.UNEXPLAINED_ATTEMPTS, errno.EADDRNOTAVAIL)
    assert dial.failure().reply is Reply.GENERAL_FAILURE


def test_our_own_limit_is_no_answer_in_time() -> None:
    dial = Dialling()
    dial.time_out(0)
    assert dial.failure().reply is Reply.TTL_EXPIRED


def test_no_descriptor_left_is_told_by_twisted_as_a_bind_error() -> None:
    cause = error.ConnectBindError(errno.EMFILE, "Too many open files")
    assert failure_of(cause).reply is Reply.GENERAL_FAILURE


@pytest.mark.parametrize("cause", [OSError(-2, "Name or service not known"), ValueError("embedded null"), None])
def test_an_error_without_a_number_is_not_tested(cause: Exception | None) -> None:
    assert failure_of(cause).reply is Reply.GENERAL_FAILURE


def test_an_address_that_cannot_be_dialled_at_all_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FakeNetwork()
    connect: Any = network.reactor.connectTCP

    def picky(host: str, *arguments: Any, **more: Any) -> Any:
        if "%" in host:
            raise OSError(-2, "no such interface")
        return connect(host, *arguments, **more)

    monkeypatch.setattr(network.reactor, "connectTCP", picky)
    results: list[Any] = []
    dialler = Dialler(network.reactor, prepare=mark)
    dialler.dial(["2001:db8::1%nowhere", "192.0.2.1"], 80, 10).addBoth(results.append)
    assert network.hosts == ["192.0.2.1"]
    target = network.accept(0)
    assert results == [target]
    dialler.dial(["2001:db8::1%nowhere"], 80, 10).addBoth(results.append)
    assert results[1].value.reply is Reply.GENERAL_FAILURE


def test_a_connection_that_met_itself_is_a_closed_port() -> None:
    dial = Dialling(["127.0.0.1"])
    transport = dial.accept(0, host=IPv4Address("TCP", "127.0.0.1", 80))
    assert transport.aborted
    assert dial.failure().reply is Reply.REFUSED


def test_the_same_port_at_another_address_is_no_such_thing() -> None:
    dial = Dialling(["192.0.2.1"])
    transport = dial.accept(0, host=IPv4Address("TCP", "192.0.2.9", 80))
    assert dial.results == [transport]


def test_j1_too_many_open_files_are_no_failure_of_the_target() -> None:
    network = FakeNetwork()
    dialler = Dialler(network.reactor, prepare=mark)
    dialler.headroom = Headroom(0)
    results: list[Any] = []
    dialler.dial(["192.0.2.1"], 80, 10).addErrback(results.append)
    assert network.hosts == []
    failure = results[0].value
    assert (failure.reply, failure.tried, failure.rule) == (Reply.GENERAL_FAILURE, False, "descriptors")


def test_j3_a_connection_that_can_not_be_set_up_is_closed_and_answered() -> None:
    def broken(transport: Any) -> None:
        raise OSError(errno.ENOBUFS, "no buffers")

    network = FakeNetwork()
    results: list[Any] = []
    Dialler(network.reactor, prepare=broken).dial(["192.0.2.1"], 80, 10).addErrback(results.append)
    with logged_failures() as failures:
        assert network.accept(0).aborted
    assert len(failures) == 1
    assert results[0].value.reply is Reply.GENERAL_FAILURE
    assert not network.reactor.getDelayedCalls()
