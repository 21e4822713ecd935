"""The link site: which answer a request gets. A POST mints the agent's next copy; nothing else changes anything."""

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tokens import token_digest
from socksfusion.log import make_logger
from socksfusion.proxy import link_pages
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.link_pages import Answer
from socksfusion.registry.schema import Agent, Link
from socksfusion.registry.store import Registry
from socksfusion.registry.watch import RegistryWatch

_log = make_logger()

PATH = "/link/"
_TARGET = re.compile(rb"/link/([A-Za-z0-9_-]{22,86})")


class LinkSite:
    """Answers requests from the registry. A wrong link's answer is delayed by its address, as a wrong login's is."""

    def __init__(self, watch: RegistryWatch, state: StateFolder, guessing: Guessing) -> None:
        self._watch = watch
        self._state = state
        self._guessing = guessing

    def answer(self, method: bytes, target: bytes, peer: str) -> Deferred[Answer]:
        """The answer for ``method`` on ``target`` by ``peer`` (``address:port``). Never fails, and may be cancelled."""
        if method not in (b"GET", b"HEAD", b"POST"):
            return succeed(link_pages.trouble(405, "This site knows links, and their button."))
        if not target.startswith(PATH.encode()):
            return succeed(link_pages.over(404))
        found = _TARGET.fullmatch(target)
        digest = token_digest(found[1] if found else target)
        work: Callable[[Registry, bytes], Answer | None] = self._take if method == b"POST" else _show
        answer: Deferred[Any] = self._watch.run(lambda: work(self._watch.registry, digest))
        answer.addCallbacks(self._delayed, self._broken, callbackArgs=(peer,))
        return answer

    def _take(self, registry: Registry, digest: bytes) -> Answer | None:
        """In the registry's thread. The key is minted now: a link that is never used leaves none behind."""
        found = registry.links.find(digest)
        if found is None:
            return None
        link, agent = found
        copy, key = self._mint(link, agent)
        if not registry.links.use(digest, key):
            return None
        _log.info("link {link} was used: agent {agent} has a new copy, pending", link=link.id, agent=agent.name)
        return link_pages.copy_file(agent.name, copy.text())

    def _mint(self, link: Link, agent: Agent) -> tuple[AgentCopy, bytes]:
        issued = self._state.authority().issue_agent(agent.name)
        pem = self._state.ca_pem(), issued.certificate_pem, issued.key_pem
        return AgentCopy(agent.name, link.proxy, *pem, scope=agent.scope, expires=agent.expires), issued.digest

    def _delayed(self, answer: Answer | None, peer: str) -> Any:
        if answer is not None:
            return answer
        wrong = self._guessing.failed(peer, "link", "a link that is wrong, used or expired")
        return wrong.addCallback(lambda _: link_pages.over())

    def _broken(self, failure: Failure) -> Answer:
        _log.error("a link could not be answered: {why}", why=failure.getErrorMessage())
        return link_pages.trouble(503, "The Proxy can't hand out copies now; the link stays good. Try again later.")


def _show(registry: Registry, digest: bytes) -> Answer | None:
    found = registry.links.find(digest)
    return link_pages.offer(*found) if found is not None else None
