"""The registry's one-time links: each hands out one copy of its agent, once, until it expires."""

import hmac

import sqlalchemy as sa

from socksfusion import limits
from socksfusion.registry.agents import require_agent
from socksfusion.registry.database import RefusedChange
from socksfusion.registry.schema import Agent, Link
from socksfusion.registry.session import Session
from socksfusion.registry.tables import keys, links


class Links:
    """Reached as ``registry.links``; each method is one transaction and raises ``RegistryError``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, digest: bytes, agent: str, proxy: str, by: str, expires: float) -> None:
        """Make a link whose secret has the SHA-256 ``digest``; the copy will be for the Proxy at ``proxy``.

        Those that ended more than ``limits.LINK_KEPT_SECONDS`` ago go, whosever they are.
        """
        with self._session.write(counts=False) as connection:
            require_agent(connection, agent)
            ended = sa.func.coalesce(links.c.used, links.c.expires)
            connection.execute(links.delete().where(ended < self._session.now() - limits.LINK_KEPT_SECONDS))
            row = {"digest": digest, "agent": agent, "proxy": proxy, "by": by, "expires": expires}
            connection.execute(links.insert().values(row | {"created": self._session.now()}))

    def list(self, agent: str | None = None) -> list[Link]:
        """All links, or those of ``agent``, the newest last; the used and expired ones too."""
        query = sa.select(links).order_by(links.c.created)
        with self._session.read() as connection:
            if agent is not None:
                require_agent(connection, agent)
                query = query.where(links.c.agent == agent)
            return [Link(**row._mapping) for row in connection.execute(query)]

    def find(self, digest: bytes) -> tuple[Link, Agent] | None:
        """The link with its agent, where it still hands out a copy; ``None``, whatever the reason, where not."""
        with self._session.read() as connection:
            return self._usable(connection, digest)

    def use(self, digest: bytes, key: bytes) -> bool:
        """Use the link up and give its agent the further, pending ``key``, both or neither; whether it was usable."""
        with self._session.write() as connection:
            found = self._usable(connection, digest)
            if found is None:
                return False
            now = self._session.now()
            connection.execute(links.update().where(links.c.digest == digest).values(used=now))
            row = {"digest": key, "agent": found[0].agent, "state": "pending", "created": now}
            connection.execute(keys.insert().values(row))
        return True

    def revoke(self, link: str) -> Link:
        """Forget the link that is called ``link`` (``Link.id``); gives it as it was."""
        with self._session.write(counts=False) as connection:
            for row in connection.execute(sa.select(links)):
                found = Link(**row._mapping)
                if found.id == link:
                    connection.execute(links.delete().where(links.c.digest == found.digest))
                    return found
        raise RefusedChange(f"there is no link {link}; see: socksfusion agent links")

    def _usable(self, connection: sa.Connection, digest: bytes) -> tuple[Link, Agent] | None:
        row = connection.execute(sa.select(links).where(links.c.digest == digest)).one_or_none()
        # an index tells by its time how much of a digest fits, which helps nobody to the secret; this doesn't
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        link, agent, now = Link(**row._mapping), require_agent(connection, row.agent), self._session.now()
        usable = link.used is None and now < link.expires and not agent.shut_out(now)
        return (link, agent) if usable else None
