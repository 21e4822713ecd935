"""A Client's negotiation in whichever protocol its first byte tells, without I/O."""

from socksfusion.wire.first_byte import NoWayIn, way_in
from socksfusion.wire.way_in import Event, LoginReceived

RIGHT = b"right"
"""The password that is accepted."""


def talk(*pieces: bytes, login_required: bool = False) -> tuple[list[Event | str], bytes, bytes]:
    """(events, bytes sent, early data) of a Client that sends ``pieces``; text among the events: there is no way in."""
    events: list[Event | str] = []
    sent = b""
    way = None
    for piece in pieces:
        if way is None:
            if not piece:
                continue
            try:
                way = way_in(piece[0], login_required=login_required)
            except NoWayIn as error:
                return [f"{error.rule}: {error}"], b"", b""
        new = way.receive_data(piece)
        sent += way.data_to_send()
        while new:
            events += new
            last, new = new[-1], []
            if isinstance(last, LoginReceived):
                if last.password == RIGHT:
                    new = way.login_accepted()
                else:
                    way.login_refused()
                sent += way.data_to_send()
    return events, sent, way.early_data if way is not None else b""


def bytewise(data: bytes) -> list[bytes]:
    """``data`` cut at every byte."""
    return [data[i : i + 1] for i in range(len(data))]
