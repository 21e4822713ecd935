"""The messages that Proxy and Agent exchange on stream bodies: tagged MessagePack maps behind a 2-byte length.

docs/protocol.md tells a stranger the same. Sans-IO. The length is checked before a body is awaited, the nesting before
the decoder runs. Fields that a message does not have are ignored and messages of another tag become :class:`Unknown`,
because Agents and Proxies are never upgraded together.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from socksfusion import limits
from socksfusion.wire.nesting import nests_too_deep

PROTOCOL: Final = 1
"""The major version: peers of another one refuse each other."""
MINOR: Final = 1
"""The minor version: tells what a peer may know, never a reason to refuse."""
LENGTH_BYTES: Final = 2
"""The length that precedes each record, big-endian, not counting itself."""

_TAG_FIELD: Final = "type"
_TAG_CHARACTERS: Final = 64

HostName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.HOST_NAME_BYTES)]
BoundHost: TypeAlias = Annotated[str, msgspec.Meta(max_length=limits.HOST_NAME_BYTES)]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86400)]
LAST_MOMENT: Final = 253_402_214_400
"""The last day of the year 9999 begins (Unix seconds): a later time can't be shown in every zone."""
Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LAST_MOMENT)]
Octet: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Networks: TypeAlias = Annotated[tuple[str, ...], msgspec.Meta(max_length=limits.NARROWING_NETWORKS)]

UDP: Final = "udp"
"""The feature of an Agent that serves :class:`AssociateRequest`."""
PAUSE: Final = "pause"
"""The feature of a Proxy that heeds :class:`Paused`, :class:`Resumed`, :class:`StopScan` and :class:`Uninstalled`."""
NARROW: Final = "narrow"
"""The feature of an Agent that heeds ``allow`` in requests."""


ASK: Final = "ask"
"""The feature of a Proxy that answers :class:`Standing`, and of a visitor that wants nothing else."""


class _Message(msgspec.Struct, frozen=True, gc=False, tag_field=_TAG_FIELD):
    """The base of every message; ``gc=False`` because none can be part of a cycle."""


class Hello(_Message, frozen=True, gc=False, tag="hello"):
    """The first record of each side on the control stream; the Proxy speaks first."""

    protocol: int
    """Major version of the protocol."""
    minor: int
    """Minor version of the protocol."""
    program: str
    """The program and its version, for people: ``socksfusion/0.1.0``."""
    features: list[str]
    """What the sender can do beyond its minor version."""
    program_id: str
    """Random for each start of the program: tells a second copy from the same program that comes back."""


class Welcome(_Message, frozen=True, gc=False, tag="welcome"):
    """Proxy to Agent: the key is registered, the session serves from now on."""

    agent: str
    """The name under which the Agent is registered."""
    heartbeat: Seconds
    """Seconds between two :class:`Running`; 0 for none."""


class Refused(_Message, frozen=True, gc=False, tag="refused"):
    """Proxy to Agent: no session, and why."""

    reason: Literal["replaced", "unknown", "duplicate", "version"]
    """A newer copy was verified; never known or revoked; another program with the same key serves; other major."""
    detail: str
    """The same for people, may be empty."""


class Standing(_Message, frozen=True, gc=False, tag="standing"):
    """Proxy to a visitor that only asks (``ASK``), instead of :class:`Welcome`: its key would be let in."""

    agent: str
    """The name under which the key is registered."""
    pending: bool
    """Whether the key is new: its first Agent makes it the active one, and the older copy's is no longer let in."""
    serving: bool
    """Whether an Agent of that name serves now, by this key or an older one."""


class ScanStarted(_Message, frozen=True, gc=False, tag="scan-started"):
    """Proxy to Agent: Clients use the Agent from now on."""

    scan: str
    """The scan's id: the same one again after a reconnection means the same scan."""


class ScanFinished(_Message, frozen=True, gc=False, tag="scan-finished"):
    """Proxy to Agent: the scan is over."""

    scan: str
    """The id that :class:`ScanStarted` told."""


class Running(_Message, frozen=True, gc=False, tag="running"):
    """Proxy to Agent, periodically: the connection works."""


class Paused(_Message, frozen=True, gc=False, tag="paused"):
    """Agent to Proxy: its admin has paused it; every request is answered 0x02 until :class:`Resumed`."""

    until: Moment
    """When it resumes by itself (Unix seconds); 0 for not by itself."""


class Resumed(_Message, frozen=True, gc=False, tag="resumed"):
    """Agent to Proxy: its admin has ended the pause."""


class StopScan(_Message, frozen=True, gc=False, tag="stop-scan"):
    """Agent to Proxy: its admin ends every scan that uses it."""


class Uninstalled(_Message, frozen=True, gc=False, tag="uninstalled"):
    """Agent to Proxy: its admin has removed it; it won't come again."""


class ConnectRequest(_Message, frozen=True, gc=False, omit_defaults=True, tag="connect"):
    """Proxy to Agent, the head of a data stream: open a TCP connection."""

    host: HostName
    """A name or an address literal (IPv6 without brackets), as the Client asked for it."""
    port: Port
    """TCP port."""
    timeout: Seconds
    """Limit in seconds for name resolution and all attempts together."""
    scan: Name = ""
    """The scan's id that it belongs to, for the Agent's record."""
    client: Name = ""
    """The account that asks, for the Agent's record and its fair queue; empty without a login."""
    allow: Networks = ()
    """Narrows what the Agent's policy allows: CIDR networks of which one must hold the address; empty: all."""
    id: Name = ""
    """The Proxy's name for this request: both sides' records tell it; empty from a Proxy that has none."""


class AssociateRequest(_Message, frozen=True, gc=False, omit_defaults=True, tag="associate"):
    """Proxy to Agent, the head of a data stream: relay datagrams (see ``wire.datagrams``)."""

    scan: Name = ""
    """As in :class:`ConnectRequest`."""
    client: Name = ""
    """As in :class:`ConnectRequest`."""
    allow: Networks = ()
    """As in :class:`ConnectRequest`, for each datagram's address."""
    id: Name = ""
    """As in :class:`ConnectRequest`."""


class AssociateReply(_Message, frozen=True, gc=False, tag="associate-reply"):
    """Agent to Proxy, the head of the other direction; after 0 datagrams follow both ways."""

    reply: Octet
    """A SOCKS reply code (RFC 1928, section 6)."""
    detail: str
    """The reason for people, may be empty."""


class ConnectReply(_Message, frozen=True, gc=False, tag="connect-reply"):
    """Agent to Proxy, the head of the other direction: how the dial ended."""

    reply: Octet
    """A SOCKS reply code (RFC 1928, section 6); after 0 the Target's bytes follow."""
    host: BoundHost
    """The Agent's own address on that connection; empty where there is none."""
    port: Port
    """The Agent's own port on that connection; 0 where there is none."""
    detail: str
    """The reason for people, may be empty."""


class Unsupported(_Message, frozen=True, gc=False, tag="unsupported"):
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
