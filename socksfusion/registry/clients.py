"""The registry's accounts of clients: which agents a token opens."""

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from socksfusion.identity.names import check_client_name
from socksfusion.registry.agents import require_agent
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.rows import read_clients, text_of
from socksfusion.registry.schema import Client
from socksfusion.registry.session import Session
from socksfusion.registry.tables import client_agents, clients


class Clients:
    """Reached as ``registry.clients``; each method is one transaction and raises ``RegistryError``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        name: str,
        digest: bytes,
        *,
        agents: Iterable[str] = (),
        all_agents: bool = False,
        allow: Sequence[str] = (),
    ) -> None:
        """Make an account whose token has the SHA-256 ``digest``, for these ``agents`` or for all of now and later.

        ``allow`` narrows it to networks (CIDR).
        """
        check_client_name(name)
        with self._session.write() as connection:
            if name in read_clients(connection, name):
                raise RefusedChange(
                    f"there is a client {name} already; for a new token: socksfusion client renew {name}"
                )
            row = {"name": name, "token": digest, "revoked": False, "all_agents": all_agents}
            connection.execute(clients.insert().values(row | {"allow": text_of(allow), "created": self._session.now()}))
            self._grant(connection, name, agents)

    def list(self) -> Sequence[Client]:
        """All accounts by name, the revoked ones too."""
        with self._session.read() as connection:
            return tuple(read_clients(connection).values())

    def get(self, name: str) -> Client:
        """The account ``name``; ``RegistryError`` where there is none."""
        with self._session.read() as connection:
            return _require(connection, name)

    def renew(self, name: str, digest: bytes) -> None:
        """Give the account another token; the one before opens nothing any more."""
        self._change(name, token=digest)

    def revoke(self, name: str) -> bool:
        """Shut the account out until ``restore``; gives whether that changed anything."""
        return not self._change(name, revoked=True).revoked

    def restore(self, name: str) -> bool:
        """Undo ``revoke``; gives whether that changed anything."""
        return self._change(name, revoked=False).revoked

    def set_agents(self, name: str, agents: Iterable[str] = (), *, all_agents: bool = False) -> None:
        """Let the account use these agents and no others, or all of now and later."""
        with self._session.write() as connection:
            _require(connection, name)
            connection.execute(clients.update().where(clients.c.name == name).values(all_agents=all_agents))
            connection.execute(client_agents.delete().where(client_agents.c.client == name))
            self._grant(connection, name, agents)

    def set_allow(self, name: str, allow: Sequence[str]) -> None:
        """Narrow the account to these networks (CIDR); empty: to none, as far as its agents allow."""
        self._change(name, allow=text_of(allow))

    def write_seen(self, batch: Mapping[str, float]) -> None:
        """Note when accounts were last used, name to Unix seconds; unknown ones are skipped."""
        rows = [{"client": name, "at": at} for name, at in batch.items()]
        if rows:
            update = clients.update().where(clients.c.name == sa.bindparam("client"))
            with self._session.write(counts=False) as connection:
                connection.execute(update.values(last_seen=sa.bindparam("at")), rows)

    def _change(self, name: str, **values: object) -> Client:
        """Set columns of one account; gives it as it was before."""
        with self._session.write() as connection:
            client = _require(connection, name)
            connection.execute(clients.update().where(clients.c.name == name).values(values))
        return client

    @staticmethod
    def _grant(connection: sa.Connection, name: str, agents: Iterable[str]) -> None:
        rows = [{"client": name, "agent": require_agent(connection, agent).name} for agent in sorted(set(agents))]
        if rows:
            connection.execute(client_agents.insert(), rows)


def _require(connection: sa.Connection, name: str) -> Client:
    check_client_name(name)
    found = read_clients(connection, name)
    if name not in found:
        raise RefusedChange(f"there is no client {name}; see: socksfusion client list")
    return found[name]
