"""proxy.forwarding: plain HTTP requests between a Client's transport and a stream, over transports in memory."""

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksfusion import limits
from socksfusion.proxy.opening import Opened
from socksfusion.tunnel.stream import CarrierLost
from socksfusion.tunnel.sweeper import Sweeper
from socksfusion.wire.socks5 import Reply
from tests.proxy.front import ClientTransport, Proxy

GET = b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST = b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\n"
ASKED = b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Stream(StringTransport):
    """A stream that remembers how it was ended."""

    bytes_received = bytes_sent = unread = 0
    paused = write_paused = reset_waiting = end_waiting = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.protocol: Any = None
        self.ends: list[str] = []

    def loseConnection(self) -> None:
        self.ends.append("closed")

    def abortConnection(self) -> None:
        self.ends.append("aborted")

    def resume_at_once(self) -> None: ...

    def sent(self) -> bytes:
        return bytes(self.value())  # type: ignore[no-untyped-call]


class Forwarded:
    """A plain request whose Target was reached."""

    def __init__(self, *sent: bytes, ended: bool = False) -> None:
        self.proxy = Proxy()
        self.sweeper = Sweeper(self.proxy.clock)
        self.proxy.front.sweeper = self.sweeper
        self.client: ClientTransport = self.proxy.connect(*sent)
        self.client.connected = True
        if ended:
            self.client.protocol.readConnectionLost()
        self.stream = Stream()
        stream: Any = self.stream
        self.proxy.router.dials[0].callback(Opened(Reply.SUCCEEDED, "", 0, stream))

    def reply(self, data: bytes) -> None:
        self.stream.protocol.dataReceived(data)

    def lost(self, reason: Exception) -> None:
        self.stream.protocol.connectionLost(Failure(reason))


def test_a_request_and_its_reply() -> None:
    forwarded = Forwarded(GET)
    assert forwarded.stream.sent() == ASKED
    assert forwarded.client.value() == b""
    forwarded.reply(OK + b"hi")
    assert forwarded.client.value() == OK[:-2] + b"Connection: close\r\n\r\nhi"
    assert forwarded.stream.ends == ["closed"]
    assert (forwarded.client.write_ended, forwarded.client.closed) == (True, False)
    forwarded.client.protocol.dataReceived(GET)
    forwarded.client.protocol.readConnectionLost()
    assert forwarded.client.closed
    assert (forwarded.proxy.watched(), forwarded.sweeper.relays) == (0, set())
    assert forwarded.proxy.joined == []


def test_a_body_that_came_during_the_dial_and_one_that_comes_later() -> None:
    forwarded = Forwarded(POST + b"early")
    forwarded.client.protocol.dataReceived(b" late" + GET)
    assert forwarded.stream.sent().endswith(b"\r\n\r\nearly late")


def test_each_side_is_the_others_producer() -> None:
    forwarded = Forwarded(POST)
    forwarded.stream.producer.pauseProducing()
    assert forwarded.client.producerState == "paused"
    forwarded.stream.producer.resumeProducing()
    assert forwarded.client.producerState == "producing"
    forwarded.client.producer.pauseProducing()
    assert forwarded.stream.producerState == "paused"


def test_a_reply_before_the_requests_end_resets_the_stream() -> None:
    forwarded = Forwarded(POST + b"early")
    forwarded.reply(OK + b"no")
    assert forwarded.stream.ends == ["aborted"]
    assert forwarded.client.write_ended
    forwarded.client.protocol.dataReceived(b" late")
    assert forwarded.stream.sent().endswith(b"early")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"no HTTP that could be passed on"),
        (None, b"closed the connection without a reply"),
    ],
    ids=["no HTTP", "nothing"],
)
def test_a_target_that_gives_no_reply_is_502(reply: bytes | None, words: bytes) -> None:
    forwarded = Forwarded(GET)
    if reply is None:
        forwarded.stream.protocol.readConnectionLost()
    else:
        forwarded.reply(reply)
    assert forwarded.client.value().startswith(b"HTTP/1.1 502 ")
    assert words in forwarded.client.value()
    assert forwarded.stream.ends == ["aborted"]
    assert forwarded.client.write_ended


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (CarrierLost("cable out"), b"the agent was lost"),
        (error.ConnectionLost(), b"the target reset the connection"),
        (error.ConnectionDone(), b"the target closed the connection"),
        (error.ConnectionAborted(), b"the Proxy ended it"),
    ],
    ids=["carrier", "reset", "close", "our own"],
)
def test_a_stream_that_is_lost_before_the_reply_is_502_and_says_whose_doing_it_is(
    reason: Exception, words: bytes
) -> None:
    forwarded = Forwarded(GET)
    forwarded.lost(reason)
    assert forwarded.client.value().startswith(b"HTTP/1.1 502 ")
    assert forwarded.client.value().count(b"HTTP/1.1") == 1
    assert words + b" before the reply" in forwarded.client.value()


@pytest.mark.parametrize("how", ["end", "loss", "broken"])
def test_a_reply_that_breaks_off_resets_the_client(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[Any] = []
    monkeypatch.setattr("socksfusion.proxy.forwarding.abort_when_drained", drained.append)
    forwarded = Forwarded(GET)
    if how == "broken":
        forwarded.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n")
    else:
        forwarded.reply(OK + b"h")
        if how == "end":
            forwarded.stream.protocol.readConnectionLost()
        else:
            forwarded.lost(error.ConnectionLost())
    assert drained == [forwarded.client]
    assert forwarded.client.value().count(b"HTTP/1.1") == 1


def test_a_request_that_breaks_is_400_and_resets_the_stream() -> None:
    forwarded = Forwarded(POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked"))
    forwarded.client.protocol.dataReceived(b"nonsense\r\n")
    assert forwarded.client.value().startswith(b"HTTP/1.1 400 ")
    assert forwarded.stream.ends == ["aborted"]


def test_a_fin_after_the_whole_request_waits_for_the_reply() -> None:
    forwarded = Forwarded(GET, ended=True)
    forwarded.reply(OK + b"hi")
    assert forwarded.client.value().endswith(b"hi")
    assert forwarded.client.closed


def test_a_fin_within_the_request_ends_it() -> None:
    forwarded = Forwarded(POST + b"some", ended=True)
    assert forwarded.client.value().startswith(b"HTTP/1.1 400 ")
    assert (forwarded.client.closed, forwarded.stream.ends) == (True, ["aborted"])


def test_a_client_that_is_lost_resets_the_stream() -> None:
    forwarded = Forwarded(GET)
    forwarded.client.protocol.connectionLost(Failure(error.ConnectionLost()))
    assert forwarded.stream.ends == ["aborted"]
    assert forwarded.sweeper.relays == set()


def test_a_silent_target_of_a_client_that_will_say_no_more_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socksfusion.tunnel.sweeper.draining.unsent_bytes", lambda _: 0)
    forwarded = Forwarded(GET, ended=True)
    forwarded.sweeper.sweep()
    forwarded.proxy.clock.advance(limits.HALF_CLOSED_SECONDS)
    forwarded.sweeper.sweep()
    assert forwarded.client.aborted
    assert forwarded.stream.ends == ["aborted"]


def test_a_patient_client_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socksfusion.tunnel.sweeper.draining.unsent_bytes", lambda _: 0)
    forwarded = Forwarded(GET)
    for _ in range(3):
        forwarded.sweeper.sweep()
        forwarded.proxy.clock.advance(limits.HALF_CLOSED_SECONDS)
    assert not forwarded.client.aborted
