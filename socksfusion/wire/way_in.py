"""What the protocols that a Client may speak have in common up to the reply, sans-IO.

The result does not depend on how the Client's bytes are cut: an error is found only when the message that holds it is
whole (or can't be measured).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from socksfusion import limits
from socksfusion.wire.socks5 import Address, Command, Reply


@dataclass(frozen=True, slots=True)
class GreetingReceived:
    """The Client told its authentication methods, and one of them was chosen."""

    methods: bytes
    """The methods, one a byte."""


@dataclass(frozen=True, slots=True)
class LoginReceived:
    """The Client says who it is; :meth:`WayIn.login_accepted` or :meth:`WayIn.login_refused` is due."""

    user: bytes
    """The user name, as it came: 0 to 255 bytes with SOCKS, any number in an HTTP head."""
    password: bytes = field(repr=False)
    """The password; never shown."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The request is whole and can be served; :meth:`WayIn.reply` is due."""

    command: Command
    """What to do."""
    address: Address
    """Where to."""


@dataclass(frozen=True, slots=True)
class ProtocolFailed:
    """The Client broke the protocol or asked for what is not served; nothing more is read.

    The answer, if the protocol has one for it, waits in :meth:`WayIn.data_to_send`; after it the caller closes.
    """

    rule: str
    """What was broken, one of a fixed set: ``socks-method``, ``socks4-host``, ``http-head`` and so on."""
    why: str
    """The same for people."""


Event: TypeAlias = GreetingReceived | LoginReceived | RequestReceived | ProtocolFailed


class Failure(Exception):
    """What a way in raises within itself for a Client that it can't serve; ``answer`` goes to the Client."""

    def __init__(self, rule: str, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.event = ProtocolFailed(rule, why)
        self.answer = answer


class _State(Enum):
    READING = 1
    JUDGED = 2
    SERVED = 3
    FAILED = 4


class WayIn(ABC):
    """One Client's negotiation, in the protocol of a subclass.

    Driven by two sources: the network (:meth:`receive_data`), and the caller, who judges a login and tells how the
    request ended (:meth:`reply`). After each, :meth:`data_to_send` has what must go to the Client.
    """

    def __init__(self) -> None:
        self._buffer = b""
        """What came and was not read yet."""
        self._to_send = b""
        self._state = _State.READING
        self._early: bytearray | None = None

    @abstractmethod
    def _next(self) -> Event | None:
        """Read the next message off the buffer; None while it is not whole. Raises :class:`Failure`."""

    @abstractmethod
    def reply(self, code: Reply, host: str = "", port: int = 0, detail: str = "") -> None:
        """Answer the request. ``host`` and ``port`` are the bound address, ``detail`` says why not."""

    @abstractmethod
    def _login_answer(self, accepted: bool) -> bytes:
        """What the Client hears of its login."""

    def receive_data(self, data: bytes) -> list[Event]:
        """Take what came; never raises. After the request everything is early data."""
        if self._state is _State.SERVED:
            self._keep(data)
        elif self._state is not _State.FAILED:
            self._buffer += data
        return self._read()

    def login_accepted(self) -> list[Event]:
        """The login was right: what the Client sent behind it is read."""
        self._state = _State.READING
        self._to_send += self._login_answer(True)
        return self._read()

    def login_refused(self) -> None:
        """The login was wrong; after the answer the caller closes."""
        self._state = _State.FAILED
        self._buffer = b""
        self._to_send += self._login_answer(False)

    def data_to_send(self) -> bytes:
        """What the Client must be sent now; each byte is given once."""
        data, self._to_send = self._to_send, b""
        return data

    @property
    def early_data(self) -> bytes:
        """What the Client has sent after its request."""
        return bytes(self._early) if self._early is not None else b""

    @property
    def early_room(self) -> int:
        """Bytes that may still come while a login or the request is under way; at 0 the caller stops reading."""
        return limits.EARLY_DATA_BYTES - len(self._early if self._early is not None else self._buffer)

    def _read(self) -> list[Event]:
        events: list[Event] = []
        try:
            while self._state is _State.READING and (event := self._next()) is not None:
                events.append(event)
                if isinstance(event, LoginReceived):
                    self._state = _State.JUDGED
                elif isinstance(event, RequestReceived):
                    self._state = _State.SERVED
                    if self._buffer:
                        self._keep(self._buffer)
                    self._buffer = b""
        except Failure as failure:
            self._state = _State.FAILED
            self._buffer = b""
            self._to_send += failure.answer
            events.append(failure.event)
        return events

    def _keep(self, data: bytes) -> None:
        if self._early is None:
            self._early = bytearray(data)
        else:
            self._early += data
