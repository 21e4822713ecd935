"""The control stream: records however they are cut, and what can't be one."""

from typing import Any

import pytest

from socksfusion import limits
from socksfusion.tunnel.control import ControlProtocol
from socksfusion.wire.control_messages import Refused, Running, ScanStarted
from socksfusion.wire.messages import Message, Unsupported, encode
from tests.tunnel.pair import Pair, Recorder

UNKNOWN = b"\x00\x0b\x81\xa4type\xa4moon"


class Side:
    def __init__(self) -> None:
        self.received: list[Message] = []
        self.failed: list[str] = []
        self.ended = 0
        self.protocol = ControlProtocol(self.received.append, self.failed.append, self._end)

    def _end(self) -> None:
        self.ended += 1


def sides(pair: Pair) -> tuple[Side, Side]:
    here, there = Side(), Side()
    pair.agent_owner.protocol = lambda: there.protocol
    pair.open(here.protocol)
    return here, there


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_records_arrive_in_order(piece: int) -> None:
    pair = Pair()
    here, there = sides(pair)
    pair.piece = piece
    messages: list[Any] = [Running(), ScanStarted(scan="1"), Refused(reason="unknown", detail="x" * 1000), Running()]
    for message in messages:
        here.protocol.send(message)
    pair.pump()
    assert there.received == messages
    there.protocol.send(Running())
    pair.pump()
    assert here.received == [Running()]


def test_an_unknown_message_is_answered_unsupported_and_the_next_is_read() -> None:
    pair = Pair()
    here, there = sides(pair)
    here.protocol.transport.write(UNKNOWN + encode(Running()))
    pair.pump()
    assert there.received == [Running()]
    assert here.received == [Unsupported(what="moon")]
    assert there.failed == []


def test_answers_do_not_pile_up_before_one_who_only_asks() -> None:
    """Row B8: never a queue."""
    pair = Pair()
    there = Side()
    pair.agent_owner.protocol = lambda: there.protocol
    here, _ = pair.open(Recorder())
    here.transport.pauseProducing()
    for _ in range(100):
        here.transport.write(UNKNOWN * 500)
        pair.pump()
    assert there.failed == ["it takes no answers"]
    assert there.protocol.transport.queued <= limits.STREAM_SEND_BYTES + 100


@pytest.mark.parametrize("record", [b"\xff\xff", b"\x00\x01\xc1", b"\x00\x02\x81\xa4", b"\x00\x03\x93\x01\x02"])
def test_what_can_not_be_read_fails_once(record: bytes) -> None:
    pair = Pair()
    here, there = sides(pair)
    here.protocol.transport.write(encode(Running()) + record + encode(Running()))
    here.protocol.transport.write(record)
    pair.pump()
    assert there.received == [Running()]
    assert len(there.failed) == 1


def test_its_end_is_told_once_on_both_sides() -> None:
    pair = Pair()
    here, there = sides(pair)
    here.protocol.transport.loseConnection()
    pair.pump()
    assert (here.ended, there.ended) == (1, 1)
    there.protocol.send(Running())
    pair.pump()
    assert here.received == []


def test_sending_without_a_stream_is_harmless() -> None:
    Side().protocol.send(Running())
