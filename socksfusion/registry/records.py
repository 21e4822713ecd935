"""What scans found, in the registry: written in batches with one statement a kind, and bounded for each scan.

Every function works in the caller's transaction. Text from outside is made printable.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from socksfusion import limits
from socksfusion.log import printable
from socksfusion.registry.schema import Gap, ScanNotes, ScanTotals, Untested
from socksfusion.registry.tables import gaps, scan_results, scan_sources, scans, untested

_ADDRESS_CHARACTERS = 64


def add_notes(connection: sa.Connection, batch: Mapping[str, ScanNotes]) -> None:
    """Add to the counts of scans, by id; those that are not there are left out."""
    known = _known(connection, batch)
    counted = [
        {"scan": scan, "opened": notes.streams, "up": notes.bytes_to_target, "down": notes.bytes_to_client}
        for scan, notes in batch.items()
        if scan in known
    ]
    if counted:
        update = scans.update().where(scans.c.id == sa.bindparam("scan"))
        values = {
            "streams": scans.c.streams + sa.bindparam("opened"),
            "bytes_to_target": scans.c.bytes_to_target + sa.bindparam("up"),
            "bytes_to_client": scans.c.bytes_to_client + sa.bindparam("down"),
        }
        connection.execute(update.values(values), counted)
    results = [
        {"scan": scan, "reply": reply, "count": count} for scan in known for reply, count in batch[scan].results.items()
    ]
    if results:
        add = insert(scan_results)
        total = scan_results.c.count + add.excluded.count
        connection.execute(add.on_conflict_do_update(set_={"count": total}), results)
    _add_sources(connection, {scan: batch[scan].sources for scan in known if batch[scan].sources})


def _add_sources(connection: sa.Connection, batch: Mapping[str, frozenset[str]]) -> None:
    if not batch:
        return
    rows = []
    listed = _read_sources(connection, batch)
    for scan, addresses in batch.items():
        there = listed.get(scan, frozenset())
        new = sorted({printable(address)[:_ADDRESS_CHARACTERS] for address in addresses} - there)
        room = max(0, limits.SOURCES_PER_SCAN - len(there))
        rows += [{"scan": scan, "address": address} for address in new[:room]]
    if rows:
        connection.execute(scan_sources.insert(), rows)


def begin_gaps(connection: sa.Connection, batch: Mapping[str, float]) -> None:
    """Scans, by id, whose agent has no carrier since then; what has a gap already keeps that."""
    known = _known(connection, batch)
    counted = sa.select(
        gaps.c.scan, sa.func.count().label("listed"), sa.func.count().filter(gaps.c.ended.is_(None)).label("open")
    )
    full = {
        row.scan
        for row in connection.execute(counted.where(gaps.c.scan.in_(known)).group_by(gaps.c.scan))
        if row.open or row.listed >= limits.GAPS_PER_SCAN
    }
    rows = [{"scan": scan, "began": at} for scan, at in batch.items() if scan in known and scan not in full]
    if rows:
        connection.execute(gaps.insert(), rows)


def end_gaps(connection: sa.Connection, batch: Mapping[str, float]) -> None:
    """Scans, by id, whose agent has a carrier again since then."""
    update = gaps.update().where(gaps.c.scan == sa.bindparam("of"), gaps.c.ended.is_(None))
    rows = [{"of": scan, "at": at} for scan, at in batch.items()]
    connection.execute(update.values(ended=sa.bindparam("at")), rows)


def add_untested(connection: sa.Connection, batch: Sequence[Untested]) -> None:
    """Count all of ``batch``, and list as many as the scans have room for."""
    known = _known(connection, {one.scan for one in batch})
    counts = Counter((one.scan, one.what) for one in batch if one.scan in known)
    if not counts:
        return
    update = scans.update().where(scans.c.id == sa.bindparam("scan"))
    values = {
        "cut": scans.c.cut + sa.bindparam("more_cut"),
        "not_tested": scans.c.not_tested + sa.bindparam("more_not_tested"),
    }
    rows = [
        {"scan": scan, "more_cut": counts[scan, "cut"], "more_not_tested": counts[scan, "not tested"]}
        for scan in sorted({scan for scan, _ in counts})
    ]
    connection.execute(update.values(values), rows)
    counted = sa.select(untested.c.scan, sa.func.count().label("listed")).where(untested.c.scan.in_(known))
    rows_of_each = connection.execute(counted.group_by(untested.c.scan))
    listed = Counter({row.scan: row.listed for row in rows_of_each})
    fresh = []
    for one in batch:
        if one.scan in known and listed[one.scan] < limits.UNTESTED_PER_SCAN:
            listed[one.scan] += 1
            fresh.append(_row(one))
    if fresh:
        connection.execute(untested.insert(), fresh)


def _row(one: Untested) -> dict[str, object]:
    texts = {"host": printable(one.host), "why": printable(one.why)}
    return {"scan": one.scan, "at": one.at, "port": one.port, "what": one.what, **texts}


def read_totals(connection: sa.Connection, scan: str | None) -> dict[str, ScanTotals]:
    """What is counted of each scan by id, or of the one ``scan``."""
    counts = sa.select(
        scans.c.id, scans.c.streams, scans.c.bytes_to_target, scans.c.bytes_to_client, scans.c.cut, scans.c.not_tested
    )
    by_reply = sa.select(scan_results)
    if scan is not None:
        counts, by_reply = counts.where(scans.c.id == scan), by_reply.where(scan_results.c.scan == scan)
    results: dict[str, dict[int, int]] = {}
    for of, reply, count in connection.execute(by_reply.order_by(scan_results.c.reply)):
        results.setdefault(of, {})[reply] = count
    sources = _read_sources(connection, None if scan is None else [scan])
    return {
        row.id: ScanTotals(
            ScanNotes(
                row.streams,
                row.bytes_to_target,
                row.bytes_to_client,
                results.get(row.id, {}),
                sources.get(row.id, frozenset()),
            ),
            row.cut,
            row.not_tested,
        )
        for row in connection.execute(counts)
    }


def read_gaps(connection: sa.Connection, scan: str) -> tuple[Gap, ...]:
    """The spans of one scan without a carrier, in order."""
    query = sa.select(gaps).where(gaps.c.scan == scan).order_by(gaps.c.began, gaps.c.number)
    return tuple(Gap(row.scan, row.began, row.ended) for row in connection.execute(query))


def read_untested(connection: sa.Connection, scan: str) -> tuple[Untested, ...]:
    """The listed opens of one scan that were cut or not tested, in order."""
    query = sa.select(untested).where(untested.c.scan == scan).order_by(untested.c.at, untested.c.number)
    return tuple(Untested(row.scan, row.at, row.host, row.port, row.what, row.why) for row in connection.execute(query))


def _known(connection: sa.Connection, ids: Iterable[str]) -> frozenset[str]:
    return frozenset(connection.scalars(sa.select(scans.c.id).where(scans.c.id.in_(list(ids)))))


def _read_sources(connection: sa.Connection, of: Iterable[str] | None) -> dict[str, frozenset[str]]:
    query = sa.select(scan_sources)
    if of is not None:
        query = query.where(scan_sources.c.scan.in_(list(of)))
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.scan, set()).add(row.address)
    return {scan: frozenset(addresses) for scan, addresses in found.items()}
