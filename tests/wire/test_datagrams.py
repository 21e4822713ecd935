"""Datagrams in a Client's header (RFC 1928, section 7) and in the records of a stream."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksfusion.wire.datagrams import (
    LARGEST_PAYLOAD_BYTES,
    LARGEST_RECORD_BYTES,
    Datagram,
    DatagramError,
    DatagramReader,
    Kind,
    Record,
    decode_datagram,
    encode_datagram,
    encode_record,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0:"), min_size=1, max_size=60)
LITERALS = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda packed: socket.inet_ntop(socket.AF_INET, packed)),
    st.binary(min_size=16, max_size=16).map(lambda packed: socket.inet_ntop(socket.AF_INET6, packed)),
)
HOSTS = st.one_of(LITERALS, NAMES)
PORTS = st.integers(1, 0xFFFF)
DATAGRAMS = st.builds(Datagram, HOSTS, PORTS, st.binary(max_size=200))
RECORDS = st.builds(Record, st.sampled_from(Kind), DATAGRAMS)

# written out from RFC 1928, sections 5 and 7
EXAMPLES = [
    ("000000 01 c0000201 0035 6869", Datagram("192.0.2.1", 53, b"hi")),
    ("000000 04 20010db8000000000000000000000001 00a1", Datagram("2001:db8::1", 161, b"")),
    ("000000 03 07 612e74657374 2e 0035 00", Datagram("a.test.", 53, b"\0")),
]


@pytest.mark.parametrize(("octets", "datagram"), EXAMPLES, ids=["ipv4", "ipv6", "name"])
def test_the_header_of_rfc_1928(octets: str, datagram: Datagram) -> None:
    assert decode_datagram(bytes.fromhex(octets)) == datagram
    assert encode_datagram(datagram) == bytes.fromhex(octets)


@given(DATAGRAMS)
def test_what_is_encoded_is_decoded(datagram: Datagram) -> None:
    decoded = decode_datagram(encode_datagram(datagram))
    assert decoded == datagram


@pytest.mark.parametrize(
    ("octets", "rule"),
    [
        ("", "udp-header"),
        ("000000", "udp-header"),
        ("00000001", "udp-header"),
        ("00000003", "udp-header"),
        ("000000017f000001 00", "udp-header"),
        ("00000003ff61", "udp-header"),
        ("000000040000 0035", "udp-header"),
        ("000100017f000001 0035", "udp-header"),
        ("010000017f000001 0035", "udp-header"),
        ("000000027f000001 0035", "udp-header"),
        ("000001017f000001 0035", "udp-fragment"),
        ("000080017f000001 0035", "udp-fragment"),
        ("000000017f000001 0000", "udp-port"),
        ("000000030000 35", "udp-host"),
        ("00000003016100 00", "udp-port"),
        ("0000000302610000 35", "udp-host"),
        ("0000000301ff0035", "udp-host"),
        ("00000003fe" + "61" * 254 + "0035", "udp-host"),
    ],
)
def test_d3_a_malformed_datagram_is_told_by_its_rule(octets: str, rule: str) -> None:
    with pytest.raises(DatagramError) as caught:
        decode_datagram(bytes.fromhex(octets))
    assert caught.value.rule == rule
    assert str(caught.value)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda rest: b"\0\0\0" + rest)))
def test_d3_any_bytes_give_a_datagram_or_its_error(data: bytes) -> None:
    try:
        datagram = decode_datagram(data)
    except DatagramError:
        return
    assert data.endswith(datagram.payload)
    assert 1 <= datagram.port <= 0xFFFF
    assert datagram.host


def test_d3_the_largest_datagram_fits_and_a_longer_one_does_not() -> None:
    header = len(encode_datagram(Datagram("192.0.2.1", 53, b"")))
    largest = b"x" * (LARGEST_PAYLOAD_BYTES - header)
    assert len(encode_datagram(Datagram("192.0.2.1", 53, largest))) == 65_507
    with pytest.raises(DatagramError) as caught:
        encode_datagram(Datagram("192.0.2.1", 53, largest + b"x"))
    assert caught.value.rule == "udp-length"


@pytest.mark.parametrize(
    ("octets", "record"),
    [
        ("000a 00 01 c0000201 0035 6869", Record(Kind.DATAGRAM, Datagram("192.0.2.1", 53, b"hi"))),
        ("0009 01 01 c0000201 0035 05", Record(Kind.UNDELIVERED, Datagram("192.0.2.1", 53, b"\x05"))),
    ],
    ids=["datagram", "undelivered"],
)
def test_a_record(octets: str, record: Record) -> None:
    assert DatagramReader().receive_data(bytes.fromhex(octets)) == [record]
    assert encode_record(record.kind, record.datagram) == bytes.fromhex(octets)


@given(st.lists(RECORDS, max_size=6), st.data())
def test_records_may_come_in_pieces_of_any_size(records: list[Record], data: st.DataObject) -> None:
    octets = b"".join(encode_record(record.kind, record.datagram) for record in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    reader = DatagramReader()
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        received += reader.receive_data(octets[begin:end])
    assert received == records


def test_records_of_a_kind_that_is_not_known_are_skipped() -> None:
    known = encode_record(Kind.DATAGRAM, Datagram("192.0.2.1", 53, b"hi"))
    records = DatagramReader().receive_data(bytes.fromhex("0003 02 ffff") + known)
    assert [record.datagram.payload for record in records] == [b"hi"]


@pytest.mark.parametrize("octets", ["0000", "000100", "0008 00 05 c0000201 0035", "0008 00 01 c0000201 0000"])
def test_a_malformed_record_makes_the_stream_unreadable(octets: str) -> None:
    with pytest.raises(DatagramError):
        DatagramReader().receive_data(bytes.fromhex(octets))


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_any_bytes_give_records_or_the_error(pieces: list[bytes]) -> None:
    reader = DatagramReader()
    try:
        for piece in pieces:
            reader.receive_data(piece)
    except DatagramError:
        pass


def test_a_record_has_its_largest_size() -> None:
    room = LARGEST_RECORD_BYTES - len(bytes.fromhex("00 01 c0000201 0035"))
    assert len(encode_record(Kind.DATAGRAM, Datagram("192.0.2.1", 53, b"x" * room))) == 2 + LARGEST_RECORD_BYTES
    with pytest.raises(DatagramError):
        encode_record(Kind.DATAGRAM, Datagram("192.0.2.1", 53, b"x" * (room + 1)))
