"""What the Proxy's manhole puts at hand: tables of agents and streams."""

from collections.abc import Callable

from socksfusion.log import printable
from socksfusion.manhole import streams
from socksfusion.manhole.tables import table
from socksfusion.proxy.connected import ConnectedAgents
from socksfusion.proxy.scans import Scans
from socksfusion.registry.schema import Snapshot


class Inspection:
    """Prints what is going on; ``seconds`` is the reactor's clock."""

    def __init__(
        self,
        seconds: Callable[[], float],
        snapshot: Callable[[], Snapshot],
        connected: ConnectedAgents,
        scans: Scans,
    ) -> None:
        self._seconds = seconds
        self._snapshot = snapshot
        self._connected = connected
        self._scans = scans

    def agents(self) -> None:
        """Print every registered agent: state, from where and since when it serves, streams, round trip, port, scan."""
        rows = []
        for name, record in sorted(self._snapshot().agents.items()):
            visit = self._connected.get(name)
            scan = self._scans.of(name)
            state = "revoked" if record.revoked else "uninstalled" if record.uninstalled else "away"
            row = [name, state, "", "", "", "", "", record.port or "", scan.id if scan else ""]
            if visit is not None and visit.carrier is not None and visit.since is not None and visit.hello is not None:
                row[1:7] = [
                    "paused" if record.paused else "serving",
                    visit.peer,
                    printable(visit.hello.program),
                    f"{self._seconds() - visit.since:.0f} s",
                    str(visit.open_streams),
                    streams.round_trip(visit.carrier),
                ]
            rows.append(row)
        print(table(rows, ["agent", "state", "from", "program", "since", "streams", "round trip", "port", "scan"]))

    def streams(self) -> None:
        """Print every open stream: whose it is, bytes each way, what waits where."""
        rows = []
        for visit in self._connected.all():
            if visit.carrier is not None:
                rows += [[visit.agent, *row] for row in streams.rows(visit.carrier, visit.control)]
        print(table(rows, ["agent", *streams.HEADERS]))
