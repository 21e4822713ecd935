"""docs/protocol.md tells what wire/messages.py does: every message and field, no others, and bytes that can be read."""

import re
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from socksfusion import limits
from socksfusion.wire import control_messages, datagrams, messages

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()
SECTIONS = re.findall(r"^### [\d.]+ `([\w-]+)`: `(\w+)`\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
TABLE_HEAD = "| field | type | meaning |\n"
EXAMPLES = re.findall(r"```hex\n# ([^\n]+)\n(.*?)```", PAGE, re.DOTALL)

KINDS = {
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.StrType: "text",
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.LiteralType: "text",
    msgspec.inspect.ListType: "array of text",
    msgspec.inspect.VarTupleType: "array of text",
}


def fields_told(section: str) -> dict[str, str]:
    """Field to type of a section's table."""
    _, _, table = section.partition(TABLE_HEAD)
    rows = (line.split("|") for line in table.partition("\n\n")[0].splitlines()[1:])
    return {row[1].strip(" `"): row[2].strip() for row in rows}


def test_every_message_has_its_section_and_there_are_no_others() -> None:
    told = {(tag, name) for tag, name, _ in SECTIONS}
    assert told == {(message.__struct_config__.tag, message.__name__) for message in messages.MESSAGES}


@pytest.mark.parametrize("message", messages.MESSAGES, ids=lambda message: message.__name__)
def test_every_field_is_told_with_its_type_and_range(message: Any) -> None:
    (section,) = (text for _, name, text in SECTIONS if name == message.__name__)
    told = fields_told(section)
    fields = msgspec.inspect.type_info(message).fields  # type: ignore[attr-defined]
    assert list(told) == [field.name for field in fields]
    for field in fields:
        kind, _, bounds = told[field.name].partition(",")
        assert kind == KINDS[type(field.type)]
        numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", bounds)]
        wanted = [getattr(field.type, name, None) for name in ("ge", "le", "min_length", "max_length")]
        assert numbers == [bound for bound in wanted if bound is not None]


def test_every_reason_is_told() -> None:
    (section,) = (text for _, name, text in SECTIONS if name == "Refused")
    reasons = msgspec.inspect.type_info(control_messages.Refused).fields[0].type.values  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `(\w+)` \|", section.rpartition("| `reason` | why |")[2], re.MULTILINE)) == set(reasons)


@pytest.mark.parametrize(("shown", "dump"), EXAMPLES, ids=[shown for shown, _ in EXAMPLES])
def test_the_examples_are_what_we_read_and_write(shown: str, dump: str) -> None:
    record = bytes.fromhex(dump)
    (received,) = messages.RecordReader().receive_data(record)
    assert repr(received).removesuffix("()") == shown
    assert not isinstance(received, messages.Unknown | messages.RecordError)
    assert messages.encode(received) == record


def test_the_datagrams_in_the_example_are_what_we_read_and_write() -> None:
    (dump,) = re.findall(r"```datagrams\n(.*?)```", PAGE, re.DOTALL)
    records = datagrams.DatagramReader().receive_data(bytes.fromhex(dump))
    assert [record.datagram for record in records] == [
        datagrams.Datagram("192.0.2.53", 53, b"hi"),
        datagrams.Datagram("192.0.2.53", 161, b"\x05"),
        datagrams.Datagram("192.0.2.53", 161, b"\x05refused"),
    ]
    assert b"".join(datagrams.encode_record(record.kind, record.datagram) for record in records) == bytes.fromhex(dump)


def test_the_frame_in_the_example_has_the_records_size() -> None:
    (header,) = re.findall(r"^    (00 00 0001 [0-9a-f ]+?)   00 36 84", PAGE, re.MULTILINE)
    _, _, _, stream, length = struct.unpack("!BBHII", bytes.fromhex(header))
    (request,) = (bytes.fromhex(dump) for shown, dump in EXAMPLES if shown.startswith("ConnectRequest"))
    assert (stream, length) == (3, len(request))


@pytest.mark.parametrize(
    "told",
    [
        f"length above {limits.RECORD_BYTES:,} is an error",
        f"nest at most {limits.RECORD_DEPTH} deep",
        f"window of {limits.INITIAL_WINDOW_BYTES:,} bytes",
        f"bodies of at most {limits.FRAME_BODY_BYTES:,} bytes",
        f"{limits.STREAM_WINDOW_BYTES // limits.MIB} MiB a stream",
        f"{limits.SESSION_GROWTH_BYTES // limits.MIB} MiB a session",
        f"at most {limits.UNACKNOWLEDGED_STREAMS} streams without ACK",
        f"at most {limits.STREAMS_PER_SESSION:,} open streams",
        f"more than {limits.PINGS_PER_SPAN:,} pings, {limits.EMPTY_FRAMES_PER_SPAN:,} empty frames",
        f"{limits.FAULTS_PER_SPAN:,} stream faults within {limits.RATE_SPAN_SECONDS:g} s",
        f"answered at once, {limits.PENDING_PING_REPLIES} wait",
        f"ping every {limits.PING_SECONDS:g} s",
        f"must be done within {limits.HANDSHAKE_SECONDS:g} s",
        f"up to {limits.EARLY_DATA_BYTES // limits.KIB} KiB that come early",
        f"where it dials many: at most {limits.DIAL_WAIT_SECONDS:g} s",
        f"gives up {limits.ANSWER_MARGIN_SECONDS:g} s after both",
        f"the other for {limits.HALF_CLOSED_SECONDS:g} s",
        f"after {limits.UNREGISTERED_RETRY_SECONDS:g} s, with a jitter",
        f"after exactly {limits.DUPLICATE_RETRY_SECONDS:g} s",
        f"starts at {limits.RECONNECT_FIRST_SECONDS:g} s and doubles to {limits.RECONNECT_LARGEST_SECONDS:g} s",
        f"reads on for up to {limits.REFUSAL_LINGER_SECONDS:g} s",
        f"answers within {limits.URGENT_PING_SECONDS:g} s",
        f"close; within {limits.SESSION_CLOSE_SECONDS:g} s",
        f"at most {limits.ASSOCIATION_TARGETS} of them on a stream",
        f"in either direction for {limits.TARGET_IDLE_SECONDS:g} s may be closed",
        f"more than {limits.ASSOCIATION_QUEUE_BYTES // limits.KIB} KiB on the stream",
        f"at most {limits.ASSOCIATION_DATAGRAMS_PER_SECOND:,} datagrams a second",
        f"without a datagram for {limits.ASSOCIATION_IDLE_SECONDS:g} s",
    ],
)
def test_the_numbers_are_those_of_the_limits(told: str) -> None:
    assert told in " ".join(PAGE.split())
