"""The Proxy's own certificate while it runs: issued anew in time, and told to whoever uses it."""

import time
from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime

from socksfusion.errors import OperatorError
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tls import proxy_context
from socksfusion.log import make_logger
from socksfusion.repeating import Repeating

_log = make_logger()

_LOOK_SECONDS = 3600.0


class ProxyCertificate(Repeating):
    """Looks once an hour whether the certificate is due, or was made anew by ``socksfusion init --name``.

    ``context`` is finished with the newest one. ``wall`` gives Unix seconds. Making this looks for the first time and
    raises ``OperatorError``.
    """

    name = "certificate"

    def __init__(self, clock: IReactorTime, state: StateFolder, wall: Callable[[], float] = time.time) -> None:
        super().__init__(clock, _LOOK_SECONDS, self.look)
        self._state = state
        self._wall = wall
        self._observers: list[Callable[[SSL.Context], None]] = []
        self._pem = self._renewed()
        self.context = self._finished(self._pem)

    def observe(self, renewed: Callable[[SSL.Context], None]) -> None:
        """Have ``renewed(context)`` called for each certificate after this one."""
        self._observers.append(renewed)

    def look(self) -> None:
        """Renew the certificate where it is due, and tell of one that is another than before."""
        try:
            pem = self._renewed()
            if pem == self._pem:
                return
            self.context = self._finished(pem)
        except OperatorError as error:
            _log.error("the Proxy's certificate was left as it is: {why}", why=str(error))
            return
        self._pem = pem
        for renewed in self._observers:
            renewed(self.context)
        _log.info("a new certificate of the Proxy is in use")

    def _renewed(self) -> bytes:
        self._state.renew_proxy_certificate_if_due(self._wall())
        return self._state.proxy_pem()

    def _finished(self, pem: bytes) -> SSL.Context:
        return proxy_context(self._state.ca_pem(), pem, self._state.proxy_key_pem())
