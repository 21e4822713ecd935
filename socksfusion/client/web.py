"""HTTP through a Proxy, by Twisted's own client and by treq."""

from typing import Any

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from socksfusion.client.endpoint import Proxy


def http_agent(
    reactor: Any, proxy: Proxy, policy: IPolicyForHTTPS | None = None, pool: HTTPConnectionPool | None = None
) -> IAgent:
    """A ``twisted.web`` agent whose every connection goes through ``proxy``, also for ``treq.client.HTTPClient``.

    ``policy`` says whom to trust for ``https`` URLs, by default as browsers do; ``pool`` may keep connections.
    """
    agent: IAgent = Agent.usingEndpointFactory(reactor, _Endpoints(proxy, policy or BrowserLikePolicyForHTTPS()), pool)
    return agent


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, proxy: Proxy, policy: IPolicyForHTTPS) -> None:
        self._proxy = proxy
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint = self._proxy.target(uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"http":
            return endpoint
        creator: IOpenSSLClientConnectionCreator = self._policy.creatorForNetloc(uri.host, uri.port)
        wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
        return wrapped
