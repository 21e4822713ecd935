"""The messages that Proxy and Agent exchange on stream bodies: tagged MessagePack maps behind a 2-byte length.

docs/protocol.md tells a stranger the same. Sans-IO. The length is checked before a body is awaited, the nesting before
the decoder runs. Fields that a message does not have are ignored and messages of another tag become :class:`Unknown`,
because Agents and Proxies are never upgraded together.
"""

from typing import Final, TypeAlias

import msgspec

from socksfusion import limits
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
from socksfusion.wire.message_fields import TaggedMessage
from socksfusion.wire.nesting import nests_too_deep
from socksfusion.wire.requests import AssociateReply, AssociateRequest, ConnectReply, ConnectRequest

LENGTH_BYTES: Final = 2
"""The length that precedes each record, big-endian, not counting itself."""

_TAG_CHARACTERS: Final = 64


class Unsupported(TaggedMessage, frozen=True, gc=False, tag="unsupported"):
    """The answer to a message whose tag the receiver does not know."""

    what: str
    """That tag, cut to 64 characters."""


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """Not a message of the wire: stands for a received one whose tag is not known here."""

    tag: str
    """Its tag, cut to 64 characters; goes into :class:`Unsupported`."""


Message: TypeAlias = (
    Hello
    | Welcome
    | Refused
    | Standing
    | ScanStarted
    | ScanFinished
    | Running
    | Paused
    | Resumed
    | StopScan
    | Uninstalled
    | ConnectRequest
    | ConnectReply
    | AssociateRequest
    | AssociateReply
    | Unsupported
)
Received: TypeAlias = Message | Unknown
MESSAGES: Final[tuple[type[Message], ...]] = (
    Hello,
    Welcome,
    Refused,
    Standing,
    ScanStarted,
    ScanFinished,
    Running,
    Paused,
    Resumed,
    StopScan,
    Uninstalled,
    ConnectRequest,
    ConnectReply,
    AssociateRequest,
    AssociateReply,
    Unsupported,
)


class RecordError(Exception):
    """A record broke the protocol; its text says how. The session that it came on ends with go-away code 1."""


class _Tagged(msgspec.Struct):
    type: str


_TAGS: Final = frozenset(message.__struct_config__.tag for message in MESSAGES)
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
_tag_decoder: Final = msgspec.msgpack.Decoder(_Tagged)
# the decoder raises the first for what breaks the schema, the second for a str that is not UTF-8
_DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError)


def encode(message: Message) -> bytes:
    """The record of ``message``, length and all.

    :raises ValueError: it is over ``limits.RECORD_BYTES``: the caller did not bound a text.
    """
    body = _encoder.encode(message)
    if len(body) > limits.RECORD_BYTES:
        raise ValueError(f"{type(message).__name__} of {len(body)} bytes is over {limits.RECORD_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode(body: bytes) -> Received:
    """The message in ``body``, a record without its length.

    :raises RecordError: not MessagePack, not a message, wrong types, out of range, nested too deep.
    """
    if nests_too_deep(body, limits.RECORD_DEPTH):
        raise RecordError(f"record nests deeper than {limits.RECORD_DEPTH}, or promises more values than it has bytes")
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        return _unknown(body, error)
    except _DECODING_ERRORS as error:
        raise RecordError(f"record is malformed: {error}") from error


def _unknown(body: bytes, fault: msgspec.ValidationError) -> Unknown:
    try:
        tag = _tag_decoder.decode(body).type
    except _DECODING_ERRORS:
        raise RecordError(f"record is not a message: {fault}") from fault
    if tag in _TAGS:
        raise RecordError(f"{tag} record is wrong: {fault}") from fault
    return Unknown(tag[:_TAG_CHARACTERS])


def _body_length(data: bytes | bytearray) -> int:
    length = int.from_bytes(data[:LENGTH_BYTES], "big")
    if length > limits.RECORD_BYTES:
        raise RecordError(f"record of {length} bytes is over {limits.RECORD_BYTES}")
    return length


class RecordReader:
    """Cuts the control stream into records.

    Driven by the network alone: :meth:`receive_data` with what came, in pieces of any size.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._failed = False

    def receive_data(self, data: bytes) -> list[Received | RecordError]:
        """The messages that ``data`` completes.

        Never raises: a bad record gives its :class:`RecordError` as the last entry, and nothing more is read after it.
        """
        received: list[Received | RecordError] = []
        if self._failed:
            return received
        self._buffer += data
        try:
            while (message := self._next()) is not None:
                received.append(message)
        except RecordError as error:
            self._failed = True
            self._buffer.clear()
            received.append(error)
        return received

    def _next(self) -> Received | None:
        if len(self._buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + _body_length(self._buffer)
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return decode(body)


class HeadReader:
    """Takes the one record at the head of a data stream; what follows belongs to Client or Target.

    Driven by the network alone. It is done when :meth:`receive_data` has returned a message or raised.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def receive_data(self, data: bytes) -> tuple[Received, bytes] | None:
        """The message and the bytes after it, once it is whole; None before that.

        :raises RecordError: the record is bad.
        """
        self._buffer += data
        if len(self._buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + _body_length(self._buffer)
        if len(self._buffer) < end:
            return None
        return decode(self._buffer[LENGTH_BYTES:end]), self._buffer[end:]
