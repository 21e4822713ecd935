"""Neighbouring pieces of a stream's data become one event: what a carrier's read holds is handed on at once.

TLS gives its plaintext a record at a time, 16 KiB. What is done for each event (the stream's transport, its protocol,
the write to the other side) costs more than joining the pieces, which the socket's write would do anyway.
"""

from socksfusion.wire.yamux.events import DataReceived, Event


def join_data(events: list[Event]) -> list[Event]:
    """The same events in the same order, with each run of one stream's ``DataReceived`` made one."""
    if len(events) < 2:
        return events
    joined: list[Event] = []
    run: list[DataReceived] = []
    for event in events:
        if type(event) is DataReceived:
            if run and event.stream is not run[0].stream:
                joined.append(_one(run))
                run = []
            run.append(event)
        else:
            if run:
                joined.append(_one(run))
                run = []
            joined.append(event)
    if run:
        joined.append(_one(run))
    return joined


def _one(run: list[DataReceived]) -> DataReceived:
    return run[0] if len(run) == 1 else DataReceived(run[0].stream, b"".join([event.data for event in run]))
