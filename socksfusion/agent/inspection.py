"""What the Agent's manhole puts at hand: its connection and its streams."""

from socksfusion.agent.connector import Connector
from socksfusion.log import printable
from socksfusion.manhole.tables import table


class Inspection:
    """Prints what is going on."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def agents(self) -> None:
        """Print this agent: its Proxy, whether it serves, bytes, streams, round trip of the last ping."""
        call = self._connector.call
        if call is None or not call.proxy_program:
            print(table([[self._connector.copy.agent, self._connector.proxy, "away"]], ["agent", "proxy", "state"]))
            return
        carrier = call.carrier
        row = [
            self._connector.copy.agent,
            self._connector.proxy,
            "serving",
            printable(call.proxy_program),
            carrier.bytes_received,
            carrier.bytes_sent,
            max(len(carrier.session.streams) - 1, 0),
        ]
        print(table([row], ["agent", "proxy", "state", "program", "received", "sent", "streams"]))

    def streams(self) -> None:
        """Print every open stream: bytes each way, what waits where."""
        call = self._connector.call
        rows = []
        for number, stream in sorted(call.carrier.session.streams.items()) if call is not None else ():
            transport = stream.owner
            if call is not None and call.control is not None and transport is call.control.transport:
                continue
            rows.append(
                [
                    number,
                    transport.bytes_sent,
                    transport.bytes_received,
                    stream.queued,
                    transport.unread,
                    "paused" if transport.paused else "",
                ]
            )
        print(table(rows, ["stream", "sent", "received", "queued", "unread", "reader"]))
