"""The link site: which answer a request gets. A POST mints the agent's next copy; nothing else changes anything.

It asks for the copy alone, or with ``?bundle`` for a bundle, where a release was imported.
"""

import re
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tokens import token_digest
from socksfusion.log import make_logger
from socksfusion.proxy import link_pages
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.link_bundles import InThread, LinkBundles
from socksfusion.proxy.link_pages import Answer
from socksfusion.registry.schema import Agent, Link
from socksfusion.registry.store import Registry
from socksfusion.registry.watch import RegistryWatch

_log = make_logger()

PATH = "/link/"
_TARGET = re.compile(rb"/link/([A-Za-z0-9_-]{22,86})(\?bundle)?")


class LinkSite:
    """Answers requests from the registry. A wrong link's answer is delayed by its address, as a wrong login's is."""

    def __init__(
        self, watch: RegistryWatch, state: StateFolder, guessing: Guessing, in_thread: InThread = deferToThread
    ) -> None:
        self._watch = watch
        self._state = state
        self._guessing = guessing
        self._bundles = LinkBundles(state, in_thread)

    def answer(self, method: bytes, target: bytes, peer: str) -> Deferred[Answer]:
        """The answer for ``method`` on ``target`` by ``peer`` (``address:port``). Fails only where it is cancelled."""
        if method not in (b"GET", b"HEAD", b"POST"):
            return succeed(link_pages.trouble(405, "This site knows links, and their button."))
        if not target.startswith(PATH.encode()):
            return succeed(link_pages.over(404))
        found = _TARGET.fullmatch(target)
        digest = token_digest(found[1] if found else target)
        answer: Deferred[Any]
        if method != b"POST":
            answer = self._watch.run(lambda: self._show(self._watch.registry, digest))
        elif found is not None and found[2]:
            answer = self._bundle(digest)
        else:
            answer = self._watch.run(lambda: self._take(self._watch.registry, digest))
        return answer.addCallbacks(self._delayed, self._broken, callbackArgs=(peer,))

    def _show(self, registry: Registry, digest: bytes) -> Answer | None:
        found = registry.links.find(digest)
        return link_pages.offer(*found, bundle=self._bundles.offered) if found is not None else None

    def _take(self, registry: Registry, digest: bytes) -> Answer | None:
        """In the registry's thread. The key is minted now: a link that is never used leaves none behind."""
        found = registry.links.find(digest)
        if found is None:
            return None
        link, agent = found
        copy, key = self._mint(link, agent)
        if not registry.links.use(digest, key):
            return None
        _tell_used(link)
        return link_pages.copy_file(agent.name, copy.text())

    def _bundle(self, digest: bytes) -> "Deferred[Answer | None]":
        """A bundle, once it is this one's turn. Who hangs up before has used nothing up."""
        asked: Deferred[Answer | None] = Deferred()

        def made(answer: Answer | None) -> None:
            if not asked.called:
                asked.callback(answer)
            elif answer is not None:
                answer.drop()

        def failed(failure: Failure) -> None:
            if not asked.called:
                asked.errback(failure)

        turn = self._bundles.turns.run(lambda: Deferred.fromCoroutine(self._hand_out(digest, asked)))
        turn.addCallbacks(made, failed)
        return asked

    async def _hand_out(self, digest: bytes, asked: "Deferred[Answer | None]") -> Answer | None:
        found = await self._watch.run(self._watch.registry.links.find, digest)
        if found is None or asked.called:
            return None
        link, agent = found
        file, key = await self._bundles.make(lambda: self._mint(link, agent))
        answer = link_pages.bundle_file(agent.name, file)
        try:
            if asked.called or not await self._watch.run(self._watch.registry.links.use, digest, key):
                answer.drop()
                return None
        except BaseException:
            answer.drop()
            raise
        _tell_used(link)
        return answer

    def _mint(self, link: Link, agent: Agent) -> tuple[AgentCopy, bytes]:
        issued = self._state.authority().issue_agent(agent.name)
        pem = self._state.ca_pem(), issued.certificate_pem, issued.key_pem
        return AgentCopy(agent.name, link.proxy, *pem, scope=agent.scope, expires=agent.expires), issued.digest

    def _delayed(self, answer: Answer | None, peer: str) -> Any:
        if answer is not None:
            return answer
        wrong = self._guessing.failed(peer, "link", "a link that is wrong, used or expired")
        return wrong.addCallback(lambda _: link_pages.over())

    def _broken(self, failure: Failure) -> Answer | Failure:
        if failure.check(CancelledError):
            return failure  # who asked has hung up, as anybody may a thousand times a second: no line in the log
        _log.error("a link could not be answered: {why}", why=failure.getErrorMessage())
        return link_pages.trouble(503, "The Proxy can't hand out copies now; the link stays good. Try again later.")


def _tell_used(link: Link) -> None:
    _log.info("link {link} was used: agent {agent} has a new copy, pending", link=link.id, agent=link.agent)
