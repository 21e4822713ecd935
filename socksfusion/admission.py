"""How many strangers may be at a door at once: a bound for each address and one in all."""

from collections import Counter

from socksfusion import limits


class Admission:
    """Counts connections that have not identified themselves; each that is taken in must be given back once."""

    def __init__(
        self,
        per_address: int = limits.UNAUTHENTICATED_PER_ADDRESS,
        total: int = limits.UNAUTHENTICATED_TOTAL,
    ) -> None:
        self._per_address = per_address
        self._total = total
        self._counts: Counter[str] = Counter()
        self._sum = 0

    def take(self, address: str) -> str | None:
        """Count one connection from ``address``; returns why not, or None."""
        if self._counts[address] >= self._per_address:
            return f"{self._per_address} connections of this address have not identified themselves yet"
        if self._sum >= self._total:
            return f"{self._total} connections have not identified themselves yet"
        self._counts[address] += 1
        self._sum += 1
        return None

    def give_back(self, address: str) -> None:
        """The connection has identified itself, or is gone."""
        self._sum -= 1
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
