"""Logins at an HTTP proxy: Basic (RFC 7617), and NTLM and Negotiate (RFC 4559) by pyspnego."""

import base64
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from socksfusion.agent.outbound.errors import OutboundFailed, OutboundLoginFailed
from socksfusion.agent.outbound.settings import OutboundProxy
from socksfusion.log import printable
from socksfusion.options import install_hint
from socksfusion.wire.http_connect import Challenge


def kerberos_at_hand() -> bool:
    """Whether pyspnego can ask this machine for Kerberos tickets: by Windows' SSPI, or GSS-API's own package."""
    return sys.platform == "win32" or importlib.util.find_spec("gssapi") is not None


class _Scheme(Protocol):
    name: str

    def header(self, token: str) -> str:
        """The next Proxy-Authorization; ``token`` is what the proxy said, empty at first."""


class Login:
    """The login of one attempt to connect, over as many requests and connections as it takes.

    The strongest scheme that both sides have is taken and no other after it was refused: each try counts against the
    account. Without a user name the machine's own Kerberos ticket is shown, where there is one.
    """

    def __init__(self, proxy: OutboundProxy) -> None:
        self._proxy = proxy
        self._scheme: _Scheme | None = None

    def answer(self, challenges: Sequence[Challenge], *, reusable: bool) -> str:
        """The Proxy-Authorization for the next request; ``reusable`` says whether the connection stays.

        Raises ``OutboundLoginFailed``, and ``OutboundFailed`` where the proxy breaks the login off.
        """
        if self._scheme is None:
            self._scheme, header = self._begin(challenges)
            return header
        tokens = [one.token for one in challenges if one.scheme == self._scheme.name and one.token]
        if self._scheme.name == "basic" or not tokens:
            raise OutboundLoginFailed(
                f"the outbound proxy {self._proxy.name} does not take the user name and password "
                f"({self._scheme.name}): check them, ask who runs it"
            )
        if not reusable:
            raise OutboundFailed(
                f"the outbound proxy {self._proxy.name} closes the connection in the middle of its login "
                f"({self._scheme.name}): ask who runs it"
            )
        return self._scheme.header(tokens[0])

    def _begin(self, challenges: Sequence[Challenge]) -> tuple[_Scheme, str]:
        failed: OutboundLoginFailed | None = None
        for scheme in self._schemes({one.scheme for one in challenges}):
            try:
                return scheme, scheme.header("")
            except OutboundLoginFailed as error:
                failed = failed or error  # no ticket, for one: nothing was sent, so another may be tried
        offered = printable(", ".join(one.scheme for one in challenges)) or "nothing known"
        if failed is not None:
            raise failed
        if self._proxy.user is None:
            raise OutboundLoginFailed(
                f"the outbound proxy {self._proxy.name} wants a login ({offered}): write the user in its URL, "
                "http://USER@HOST:PORT, and the password in --outbound-proxy-password-file"
            )
        raise OutboundLoginFailed(
            f"the outbound proxy {self._proxy.name} wants a login of a kind that can't be given here ({offered})"
        )

    def _schemes(self, offered: set[str]) -> Iterator[_Scheme]:
        """The usable ones, strongest first. Negotiate without Kerberos at hand is NTLM in a wrapping."""
        user, password = self._proxy.user, self._proxy.password
        given = user is not None and password is not None
        kerberos = kerberos_at_hand()
        if "negotiate" in offered and kerberos:
            yield _Spnego("negotiate", self._proxy)
        if "ntlm" in offered and given:
            yield _Spnego("ntlm", self._proxy)
        if "negotiate" in offered and given and not kerberos:
            yield _Spnego("negotiate", self._proxy)
        if "basic" in offered and user is not None:
            yield _Basic(user, password or "")


class _Basic:
    name = "basic"

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password

    def header(self, token: str) -> str:
        return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()


class _Spnego:
    """A handshake by pyspnego; the library is imported when a proxy first asks for it."""

    def __init__(self, name: str, proxy: OutboundProxy) -> None:
        self.name = name
        self._proxy = proxy
        self._context: Any = None

    def header(self, token: str) -> str:
        try:
            import spnego
        except ModuleNotFoundError:
            raise OutboundLoginFailed(
                f"the outbound proxy {self._proxy.name} wants a login by {self.name}, for which the package pyspnego "
                f"is missing: {install_hint('agent')}"
            )
        try:
            if self._context is None:
                self._context = spnego.client(
                    self._proxy.user,
                    self._proxy.password,
                    hostname=self._proxy.host,
                    service="HTTP",
                    protocol=self.name,
                )
            answer = self._context.step(base64.b64decode(token, validate=True) if token else None)
        except Exception as error:  # besides its own errors the library raises struct.error and others on odd tokens
            raise OutboundLoginFailed(
                f"no login by {self.name} at the outbound proxy {self._proxy.name}: {printable(_first_line(error))}"
            ) from None
        if answer is None:
            raise OutboundLoginFailed(f"the outbound proxy {self._proxy.name} asks again after a login by {self.name}")
        written = {"ntlm": "NTLM", "negotiate": "Negotiate"}[self.name]
        return f"{written} {base64.b64encode(answer).decode()}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
