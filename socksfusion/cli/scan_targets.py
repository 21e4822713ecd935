"""The targets that a scan left cut or not tested, for a second run."""

from collections.abc import Iterable, Sequence

from socksfusion.errors import UsageError
from socksfusion.identity.names import check_host
from socksfusion.registry.schema import Untested


def hosts_of(untested: Iterable[Untested]) -> tuple[list[str], int]:
    """The hosts, each once, in order; and how many were no host's name or address.

    Those are left out: a Client may have asked for anything, and ``nmap`` would take ``10.0.0.0/8`` for a network.
    """
    hosts: dict[str, None] = {}
    strange = set()
    for one in untested:
        try:
            hosts[check_host(one.host)] = None
        except UsageError:
            strange.add(one.host)
    return list(hosts), len(strange)


def ports_of(untested: Iterable[Untested]) -> str:
    """Their ports as ``nmap -p`` reads them: ``22,80-82``."""
    spans: list[list[int]] = []
    for port in sorted({one.port for one in untested}):
        if spans and port == spans[-1][1] + 1:
            spans[-1][1] = port
        else:
            spans.append([port, port])
    return ",".join(_span(span) for span in spans)


def _span(span: Sequence[int]) -> str:
    first, last = span
    return str(first) if first == last else f"{first}-{last}"
