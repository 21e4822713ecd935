"""wire.messages: the schema, the framing and what breaks it (row E3); bytes by the MessagePack specification."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion import limits
from socksfusion.wire import messages
from socksfusion.wire.control_messages import (
    Hello,
    Paused,
    Refused,
    Resumed,
    Running,
    ScanFinished,
    ScanStarted,
    Standing,
    StopScan,
    Uninstalled,
    Welcome,
)
from socksfusion.wire.messages import HeadReader, Message, Received, RecordError, RecordReader, Unknown, Unsupported
from socksfusion.wire.requests import AssociateReply, AssociateRequest, ConnectReply, ConnectRequest

EXAMPLES: list[Message] = [
    Hello(1, 0, "socksfusion/0.1.0", ["one", "two"], "6f1c"),
    Welcome("branch", 60.0),
    Refused("unknown", "the key is not registered"),
    ScanStarted("7"),
    ScanFinished("7"),
    Running(),
    Paused(1_800_000_000.5),
    Resumed(),
    StopScan(),
    Uninstalled(),
    ConnectRequest("2001:db8::1", 443, 10.0),
    ConnectRequest("a.example", 22, 3.0, "7", "bob", ("192.0.2.0/24", "2001:db8::/32")),
    AssociateRequest(),
    AssociateRequest("7", "bob", ("192.0.2.0/24",)),
    AssociateReply(0, ""),
    ConnectReply(5, "", 0, "refused"),
    Standing("acme", pending=True, serving=False),
    Unsupported("new-thing"),
]
# {"type": "connect", "host": "a", "port": 80, "timeout": 1.5}: fixmap, fixstr, positive fixint, float 64
CONNECT = (
    b"\x84\xa4type\xa7connect"
    b"\xa4host\xa1a"
    b"\xa4port\x50"
    b"\xa7timeout\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"
)  # fmt: skip


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


def read(*pieces: bytes) -> list[Received | RecordError]:
    reader = RecordReader()
    return [received for piece in pieces for received in reader.receive_data(piece)]


def shown(received: list[Received | RecordError]) -> list[Any]:
    return [str(entry) if isinstance(entry, RecordError) else entry for entry in received]


def test_every_message_has_an_example_here() -> None:
    assert {type(example) for example in EXAMPLES} == set(messages.MESSAGES)


def test_the_bytes_are_those_of_the_specification() -> None:
    assert messages.decode(CONNECT) == ConnectRequest("a", 80, 1.5)
    assert messages.encode(ConnectRequest("a", 80, 1.5)) == framed(CONNECT)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back(message: Message) -> None:
    assert read(messages.encode(message)) == [message]


def test_records_are_read_at_any_split() -> None:
    stream = b"".join(map(messages.encode, EXAMPLES))
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == EXAMPLES
    for cut in range(len(stream)):
        assert read(stream[:cut], stream[cut:]) == EXAMPLES


def test_unknown_fields_are_ignored() -> None:
    body = msgspec.msgpack.encode({"future": {"deep": [1, {"er": None}]}, "type": "running", "x": b"\x00"})
    assert messages.decode(body) == Running()


def test_an_unknown_tag_is_told_and_the_reader_goes_on() -> None:
    future = msgspec.msgpack.encode({"type": "scan-paused", "features": 7})
    assert read(framed(future) + messages.encode(Running())) == [Unknown("scan-paused"), Running()]


def test_a_long_unknown_tag_fits_into_the_answer() -> None:
    unknown = messages.decode(msgspec.msgpack.encode({"type": "x" * 16000}))
    assert unknown == Unknown("x" * 64)


BAD = {
    "empty": b"",
    "no map": b"\x90",
    "no type": b"\x80",
    "type is a number": b"\x81\xa4type\x05",
    "trailing byte": b"\x81\xa4type\xa7running\x00",
    "truncated": b"\x81\xa4type\xa7runn",
    "never used byte": b"\x81\xa4type\xc1",
    "missing field": b"\x81\xa4type\xacscan-started",
    "wrong type": b"\x82\xa4type\xacscan-started\xa4scan\x07",
    "text that is not UTF-8": b"\x82\xa4type\xacscan-started\xa4scan\xa2\xff\xfe",
    "lone surrogate": b"\x82\xa4type\xacscan-started\xa4scan\xa3\xed\xb2\x80",
    "unknown reason": msgspec.msgpack.encode({"type": "refused", "reason": "mood", "detail": ""}),
    "empty host": msgspec.msgpack.encode({"type": "connect", "host": "", "port": 1, "timeout": 1.0}),
    "long host": msgspec.msgpack.encode({"type": "connect", "host": "a" * 254, "port": 1, "timeout": 1.0}),
    "port too high": msgspec.msgpack.encode({"type": "connect", "host": "a", "port": 65536, "timeout": 1.0}),
    "negative port": msgspec.msgpack.encode({"type": "connect", "host": "a", "port": -1, "timeout": 1.0}),
    "timeout NaN": msgspec.msgpack.encode({"type": "connect", "host": "a", "port": 1, "timeout": math.nan}),
    "timeout infinite": msgspec.msgpack.encode({"type": "connect", "host": "a", "port": 1, "timeout": math.inf}),
    "negative heartbeat": msgspec.msgpack.encode({"type": "welcome", "agent": "a", "heartbeat": -1}),
    # the operator's commands could not show such a time, nor anything else of that agent
    "a pause till the end of time": msgspec.msgpack.encode({"type": "paused", "until": 1e300}),
    "a pause without end": msgspec.msgpack.encode({"type": "paused", "until": math.inf}),
    "a pause until NaN": msgspec.msgpack.encode({"type": "paused", "until": math.nan}),
    "reply over a byte": msgspec.msgpack.encode(
        {"type": "connect-reply", "reply": 256, "host": "", "port": 0, "detail": ""}
    ),
    "deep array in an unknown field": b"\x82\xa4type\xa7running\xa1x" + b"\x91" * 8 + b"\xc0",
    "deep map in an unknown field": b"\x82\xa4type\xa7running\xa1x" + b"\x81\xa0" * 8 + b"\xc0",
    "deep to the end": b"\x91" * limits.RECORD_BYTES,
    "array of 4 G": b"\x82\xa4type\xa7running\xa1x\xdd\xff\xff\xff\xff",
    "map of 4 G": b"\xdf\xff\xff\xff\xff",
    "text of 4 G": b"\xdb\xff\xff\xff\xff",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_e3_a_bad_record_gives_our_error_after_what_was_good(body: bytes) -> None:
    received = read(messages.encode(Running()) + framed(body) + messages.encode(Running()))
    assert received[0] == Running()
    assert [type(entry) for entry in received[1:]] == [RecordError]


def test_e3_nesting_up_to_the_bound_passes() -> None:
    # the message's own map is the first of the eight
    body = b"\x82\xa4type\xa7running\xa1x" + b"\x91" * (limits.RECORD_DEPTH - 1) + b"\xc0"
    assert messages.decode(body) == Running()


def test_e3_many_containers_side_by_side_are_not_deep() -> None:
    body = b"\x82\xa4type\xa7running\xa1x\xdc\x03\xe8" + b"\x90\x80" * 500
    assert messages.decode(body) == Running()


def test_e3_the_length_is_judged_before_the_body_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "decode", lambda body: pytest.fail("the decoder ran"))
    (error,) = read((limits.RECORD_BYTES + 1).to_bytes(2, "big"))
    assert isinstance(error, RecordError)
    with pytest.raises(RecordError, match="16385"):
        HeadReader().receive_data(b"\x40\x01")


def test_after_a_bad_record_nothing_is_read() -> None:
    reader = RecordReader()
    assert isinstance(reader.receive_data(b"\xff\xff")[0], RecordError)
    assert reader.receive_data(messages.encode(Running())) == []


def test_our_own_record_over_the_bound_is_our_fault() -> None:
    with pytest.raises(ValueError, match="ConnectReply"):
        messages.encode(ConnectReply(1, "", 0, "x" * limits.RECORD_BYTES))


def test_a_head_gives_the_message_and_what_follows_at_every_split() -> None:
    request = ConnectRequest("example.com", 25, 10.0)
    whole = messages.encode(request) + b"EHLO"
    head = len(whole) - 4
    for cut in range(len(whole) + 1):
        reader = HeadReader()
        first = reader.receive_data(whole[:cut])
        if cut >= head:
            assert first == (request, whole[head:cut])
        else:
            assert first is None
            assert reader.receive_data(whole[cut:]) == (request, b"EHLO")


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner),
    max_leaves=20,
)
tags = st.sampled_from([example.__struct_config__.tag for example in EXAMPLES])
fields = st.sampled_from(sorted({name for example in EXAMPLES for name in example.__struct_fields__}))
almost_messages = st.builds(
    lambda tag, rest: msgspec.msgpack.encode({**rest, "type": tag}), tags, st.dictionaries(fields, values, max_size=5)
)


@given(body=st.binary(max_size=200) | almost_messages)
def test_e3_any_bytes_give_a_message_or_our_error(body: bytes) -> None:
    try:
        messages.decode(body)
    except RecordError:
        pass


@given(body=almost_messages, position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_e3_a_changed_byte_gives_a_message_or_our_error(body: bytes, position: int, byte: int) -> None:
    position %= len(body)
    received = read(framed(body[:position] + bytes([byte]) + body[position + 1 :]))
    assert len(received) == 1


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_any_bytes_at_any_split_give_the_same(data: bytes, cut: int) -> None:
    assert shown(read(data[:cut], data[cut:])) == shown(read(data))
