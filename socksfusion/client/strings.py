"""``clientFromString``: ``socksfusion:host=HOST:port=PORT`` and what may follow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamClientEndpointStringParserWithReactor
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.plugin import IPlugin
from zope.interface import implementer

from socksfusion.client.endpoint import Proxy
from socksfusion.errors import UsageError
from socksfusion.identity.names import check_host
from socksfusion.identity.private_files import PrivateFileError, read_private, shown
from socksfusion.wire.socks5_client import Login

_NAMES = ("host", "port", "agent", "client", "token-file", "proxy", "tls", "ca")
_DEFAULT_PROXY = "127.0.0.1:1080"


class EndpointStringError(UsageError, ValueError):
    """An endpoint string that can't be used; the text says why."""


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class Parser:
    """Twisted's plugin for endpoint strings that begin with ``socksfusion:``.

    | argument | what |
    |---|---|
    | ``host``, ``port`` | the target, as the Agent is to reach it; both must be there |
    | ``agent`` | the agent that is meant; then a ``token-file`` must be there. Without: the Proxy's port names it |
    | ``client`` | the client whose token that is; without it is the agent's own |
    | ``token-file`` | a file of mode 0600 whose first line is the token |
    | ``proxy`` | the Proxy's SOCKS port, ``HOST\\:PORT``; 127.0.0.1:1080 by default |
    | ``tls`` | ``yes`` where the Proxy's port speaks TLS; ``no`` by default |
    | ``ca`` | with ``tls=yes``: PEM file of the authorities that may vouch for the Proxy; by default the system's |
    """

    prefix = "socksfusion"

    def parseStreamClient(self, reactor: Any, *args: object, **kwargs: object) -> IStreamClientEndpoint:
        """The endpoint. Raises ``EndpointStringError`` for what can't be used; nothing that is given goes unread."""
        if args:
            raise EndpointStringError(
                f"socksfusion: {args[0]!r} has no name; write host=… and port=…, and a colon within a value as \\:"
            )
        given = {name: str(value) for name, value in kwargs.items()}
        for name in given:
            if name not in _NAMES:
                raise EndpointStringError(f"socksfusion: unknown argument {name!r} (known: {', '.join(_NAMES)})")
        for name in ("host", "port"):
            if not given.get(name):
                raise EndpointStringError(f"socksfusion: {name} is missing: the target's")
        host, port = _host_port("proxy", given.get("proxy", _DEFAULT_PROXY))
        proxy = Proxy(reactor, host, port, login=_login(given), tls=_tls(given, host))
        target_port = _port("port", given["port"])
        try:
            return proxy.target(given["host"], target_port)
        except ValueError as error:
            raise EndpointStringError(f"socksfusion: host: {error}")


def _login(arguments: Mapping[str, str]) -> Login | None:
    agent, file = arguments.get("agent"), arguments.get("token-file")
    if agent is None:
        for name in ("client", "token-file"):
            if name in arguments:
                raise EndpointStringError(f"socksfusion: {name} says nothing without agent=NAME")
        return None
    if file is None:
        raise EndpointStringError(
            "socksfusion: agent=NAME needs token-file=FILE, with that agent's token or a client's"
        )
    try:
        content = read_private(Path(file)).decode()
    except PrivateFileError as error:
        raise EndpointStringError(f"socksfusion: token-file: {error}")
    except UnicodeDecodeError:
        raise EndpointStringError(f"socksfusion: token-file: {shown(Path(file))} is no text")
    try:
        return Proxy.login_for(agent, content.partition("\n")[0].strip(), arguments.get("client"))
    except ValueError as error:
        raise EndpointStringError(f"socksfusion: agent, client and token-file: {error}")


def _tls(arguments: Mapping[str, str], host: str) -> Any:
    wanted, ca = arguments.get("tls", "no"), arguments.get("ca")
    if wanted not in ("yes", "no"):
        raise EndpointStringError(f"socksfusion: tls={wanted}: write yes or no")
    if wanted == "no":
        if ca is not None:
            raise EndpointStringError("socksfusion: ca says nothing without tls=yes")
        return None
    if ca is None:
        return optionsForClientTLS(host)
    try:
        blocks = Path(ca).read_bytes().split(b"-----BEGIN CERTIFICATE-----")[1:]
        authorities = [Certificate.loadPEM(b"-----BEGIN CERTIFICATE-----" + block) for block in blocks]
    except OSError as error:
        raise EndpointStringError(f"socksfusion: can't read ca={shown(Path(ca))}: {error.strerror}")
    except Exception:  # what the parser of certificates raises depends on what is wrong
        authorities = []
    if not authorities:
        raise EndpointStringError(f"socksfusion: ca={shown(Path(ca))} holds no certificates in PEM")
    return optionsForClientTLS(host, trustRoot=trustRootFromCertificates(authorities))


def _host_port(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise EndpointStringError(f"socksfusion: {name}={text}: write HOST\\:PORT")
    try:
        checked = check_host(host.removeprefix("[").removesuffix("]"))
    except UsageError as error:
        raise EndpointStringError(f"socksfusion: {name}: {error}")
    return checked, _port(name, port)


def _port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise EndpointStringError(f"socksfusion: {name}: {text!r} is no port from 1 to 65535")
    return int(text)
