"""The registry's scans: which run, and what each of them found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from socksfusion.identity.names import check_agent_name
from socksfusion.log import printable
from socksfusion.registry import ports, records
from socksfusion.registry.agents import require_agent
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.rows import SCAN_COLUMNS, row_of_scan, scan_of
from socksfusion.registry.schema import Gap, Scan, ScanNotes, ScanTotals, Untested, WhyEnded
from socksfusion.registry.session import Session
from socksfusion.registry.tables import scans

_UNKNOWN = "there is no such scan; see: socksfusion scan list"


class Scans:
    """Reached as ``registry.scans``; each method is one transaction and raises ``RegistryError``.

    The Proxy's batches have one statement a kind, however many scans and targets they are about. What they say of
    scans that are not here (pruned, or never written) is left out.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- begin and end --------------------------------------------------------------------------------------------

    def start(self, scan: Scan, choose_from: Iterable[int] = ()) -> Scan:
        """Keep a scan that begins, whose id is new; gives it as it is kept.

        An explicit one gets its ``port``, or else the first of ``choose_from`` that is free and not reserved. Raises
        ``RefusedChange`` where there is no such agent, or it is shut out; where the port is an agent's or another
        scan's, or reserved after a scan of another agent; where none of ``choose_from`` is free.
        """
        now = self._session.now()
        with self._session.write() as connection:
            agent = require_agent(connection, scan.agent)
            if scan.kind == "explicit":
                if agent.shut_out(now):
                    why = "is revoked" if agent.revoked else "has expired"
                    raise RefusedChange(f"agent {agent.name} {why}; see: socksfusion agent show {agent.name}")
                if scan.port is not None and scan.port == agent.port:
                    raise RefusedChange(f"port {scan.port} is agent {scan.agent}'s own; take another for the scan")
                self._end_overdue(connection, now)
                scan = replace(scan, port=self._port(connection, scan, choose_from, now))
            connection.execute(scans.insert().values(row_of_scan(scan)))
        return scan

    @staticmethod
    def _port(connection: sa.Connection, scan: Scan, choose_from: Iterable[int], now: float) -> int:
        port = scan.port
        if port is None:
            port = ports.first_free(connection, choose_from, now)
            if port is None:
                raise RefusedChange("no port is free for the scan; name one by --port")
        else:
            ports.check_port(port)
            ports.refuse_taken(connection, port, scan.agent, now)
        ports.release(connection, port)
        return port

    def end(self, scan: str, at: float, why: WhyEnded = "stopped") -> bool:
        """End a scan at ``at`` (Unix seconds); gives whether it was running. Its port is reserved from then on."""
        with self._session.write() as connection:
            running = (scans.c.id == scan) & scans.c.ended.is_(None)
            found = connection.execute(sa.select(scans.c.agent, scans.c.port).where(running)).one_or_none()
            if found is None:
                return False
            connection.execute(scans.update().where(running).values(ended=at, why_ended=why))
            records.end_gaps(connection, {scan: at})
            if found.port is not None:
                ports.reserve(connection, found.port, found.agent, "scan", at)
        return True

    def end_overdue(self) -> None:
        """End the scans whose time is over, where no Proxy runs that does it."""
        with self._session.write() as connection:
            self._end_overdue(connection, self._session.now())

    @staticmethod
    def _end_overdue(connection: sa.Connection, now: float) -> None:
        overdue = sa.select(SCAN_COLUMNS[0], scans.c.agent, scans.c.port, scans.c.until).where(
            scans.c.ended.is_(None), scans.c.until <= now
        )
        for found in connection.execute(overdue).all():
            end = scans.update().where(scans.c.id == found.id)
            connection.execute(end.values(ended=found.until, why_ended="over"))
            records.end_gaps(connection, {found.id: found.until})
            if found.port is not None:
                ports.reserve(connection, found.port, found.agent, "scan", found.until)

    def touch(self, batch: Mapping[str, float]) -> None:
        """Note when scans were last active: id to Unix seconds."""
        rows = [{"scan": scan, "at": at} for scan, at in batch.items()]
        if rows:
            update = scans.update().where(scans.c.id == sa.bindparam("scan")).values(last_active=sa.bindparam("at"))
            with self._session.write(counts=False) as connection:
                connection.execute(update, rows)

    def set_port_trouble(self, scan: str, why: str | None) -> None:
        """Note why the Proxy can't open a scan's port; ``None``: it is open."""
        text = None if why is None else printable(why)
        with self._session.write(counts=False) as connection:
            connection.execute(scans.update().where(scans.c.id == scan).values(port_trouble=text))

    # -- what they found ------------------------------------------------------------------------------------------

    def note(self, batch: Mapping[str, ScanNotes]) -> None:
        """Add to what is counted of scans, by id."""
        if batch:
            with self._session.write(counts=False) as connection:
                records.add_notes(connection, batch)

    def begin_gaps(self, batch: Mapping[str, float]) -> None:
        """Scans, by id, whose agent has no carrier since then (Unix seconds); what has a gap already keeps that."""
        if batch:
            with self._session.write(counts=False) as connection:
                records.begin_gaps(connection, batch)

    def end_gaps(self, batch: Mapping[str, float]) -> None:
        """Scans, by id, whose agent has a carrier again since then (Unix seconds)."""
        if batch:
            with self._session.write(counts=False) as connection:
                records.end_gaps(connection, batch)

    def add_untested(self, batch: Iterable[Untested]) -> None:
        """Add opens that were cut or not tested; all are counted, ``limits.UNTESTED_PER_SCAN`` of a scan are listed."""
        found = list(batch)
        if found:
            with self._session.write(counts=False) as connection:
                records.add_untested(connection, found)

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, scan: str) -> Scan:
        """The scan with this id; ``RefusedChange`` where there is none."""
        if not scan.isascii():
            # the database takes no text that is not UTF-8, which an argument of a command may be
            raise RefusedChange(_UNKNOWN)
        with self._session.read() as connection:
            row = connection.execute(sa.select(*SCAN_COLUMNS).where(scans.c.id == scan)).one_or_none()
        if row is None:
            raise RefusedChange(_UNKNOWN)
        return scan_of(row)

    def list(self, agent: str | None = None) -> Sequence[Scan]:
        """All scans, or one agent's, the newest first."""
        query = sa.select(*SCAN_COLUMNS).order_by(scans.c.started.desc(), scans.c.id)
        if agent is not None:
            check_agent_name(agent)
            query = query.where(scans.c.agent == agent)
        with self._session.read() as connection:
            return tuple(scan_of(row) for row in connection.execute(query))

    def totals(self, scan: str | None = None) -> Mapping[str, ScanTotals]:
        """What is counted of each scan, by id; of that one, where ``scan`` is given."""
        with self._session.read() as connection:
            return records.read_totals(connection, scan)

    def gaps(self, scan: str) -> Sequence[Gap]:
        """The spans without a carrier, in order."""
        with self._session.read() as connection:
            return records.read_gaps(connection, scan)

    def untested(self, scan: str) -> Sequence[Untested]:
        """The opens that were cut or not tested, in order; ``totals`` counts those that are not listed too."""
        with self._session.read() as connection:
            return records.read_untested(connection, scan)

    def prune(self, before: float) -> int:
        """Forget the scans that ended before then (Unix seconds), with their records; gives how many.

        Ports stay reserved.
        """
        with self._session.write(counts=False) as connection:
            return connection.execute(scans.delete().where(scans.c.ended < before)).rowcount
