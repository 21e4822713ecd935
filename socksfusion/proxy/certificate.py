"""The Proxy's own certificate while it runs: issued anew in time, and told to whoever uses it."""

import time
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime

from socksfusion.errors import OperatorError, StateError
from socksfusion.identity.private_files import shown
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tls import proxy_context, site_context
from socksfusion.log import make_logger
from socksfusion.repeating import Repeating

_log = make_logger()

_LOOK_SECONDS = 3600.0


class ProxyCertificate(Repeating):
    """Looks once an hour whether the certificate is due, or was made anew by ``socksfusion init --name``.

    ``context`` is finished with the newest one, and so is ``site_context``, the link site's: with the same certificate,
    or with ``site`` (chain and key, read anew each time), which the other has for the site too.

    ``wall`` gives Unix seconds. Making this looks for the first time and
    raises ``OperatorError``.
    """

    name = "certificate"

    def __init__(
        self,
        clock: IReactorTime,
        state: StateFolder,
        wall: Callable[[], float] = time.time,
        site: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(clock, _LOOK_SECONDS, self.look)
        self._state = state
        self._wall = wall
        self._site = site
        self._observers: list[Callable[[SSL.Context], None]] = []
        self._pem = self._renewed()
        self.context, self.site_context = self._finished(self._pem)

    def observe(self, renewed: Callable[[SSL.Context], None]) -> None:
        """Have ``renewed(context)`` called for each certificate after this one."""
        self._observers.append(renewed)

    def look(self) -> None:
        """Renew the certificate where it is due, and tell of one that is another than before."""
        try:
            pem = self._renewed()
            if pem == self._pem:
                return
            self.context, self.site_context = self._finished(pem)
        except OperatorError as error:
            _log.error("the Proxy's certificate was left as it is: {why}", why=str(error))
            return
        self._pem = pem
        for renewed in self._observers:
            renewed(self.context)
        _log.info("a new certificate of the Proxy is in use")

    def _renewed(self) -> tuple[bytes, bytes, bytes]:
        self._state.renew_proxy_certificate_if_due(self._wall())
        return (self._state.proxy_pem(), *self._site_pem())

    def _site_pem(self) -> tuple[bytes, bytes]:
        """The link site's certificate with its chain, and its key."""
        if self._site is None:
            return self._state.proxy_pem(), self._state.proxy_key_pem()
        try:
            certificate, key = (path.read_bytes() for path in self._site)
        except OSError as error:
            raise StateError(f"can't read {shown(Path(str(error.filename)))}: {error.strerror}")
        return certificate, key

    def _finished(self, pem: tuple[bytes, bytes, bytes]) -> tuple[SSL.Context, SSL.Context]:
        proxy_pem, chain, key = pem
        try:
            site = site_context(chain, key)
        except (ValueError, TypeError, UnsupportedAlgorithm, SSL.Error):
            raise StateError("the link site's certificate and key (--links-certificate, --links-key) can't be used")
        return proxy_context(self._state.ca_pem(), proxy_pem, self._state.proxy_key_pem(), site), site
