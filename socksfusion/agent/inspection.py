"""What the Agent's manhole puts at hand: its connection and its streams."""

from socksfusion.agent.connector import Connector
from socksfusion.log import printable
from socksfusion.manhole import streams
from socksfusion.manhole.tables import table


class Inspection:
    """Prints what is going on."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def agents(self) -> None:
        """Print this agent: its Proxy, whether it serves, bytes, streams, the shortest recent round trip."""
        call = self._connector.call
        if call is None or not call.welcomed:
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
            len(streams.rows(carrier, call.control)),
            streams.round_trip(carrier),
        ]
        print(table([row], ["agent", "proxy", "state", "program", "received", "sent", "streams", "round trip"]))

    def streams(self) -> None:
        """Print every open stream: bytes each way, what waits where."""
        call = self._connector.call
        rows = streams.rows(call.carrier, call.control) if call is not None else []
        print(table(rows, streams.HEADERS))
