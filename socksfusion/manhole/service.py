"""The manhole put together: an SSH server that gives its users a Python prompt in the running program.

Whoever logs in can do whatever the program can; so it is off unless asked for, on loopback unless an interface is
named, and opened by public keys only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.internet.interfaces import IAddress

from socksfusion import descriptors
from socksfusion.admission import Admission
from socksfusion.endpoints import Listener
from socksfusion.manhole.console import ManholeConnection, ManholeUser
from socksfusion.manhole.keys import SIGNATURES, load_host_key
from socksfusion.manhole.login import Login
from socksfusion.manhole.quiet import QUIET
from socksfusion.manhole.transport import ManholeTransport
from socksfusion.refusals import Refusals


def manhole_service(
    reactor: Any,
    endpoint: str,
    namespace: Mapping[str, object],
    authorized_keys: Path,
    host_key: Path,
    banner: str,
    refusals: Refusals,
) -> IService:
    """A service that listens on the endpoint string ``endpoint``.

    ``namespace`` is what is at hand at the prompt, ``banner`` greets and tells it. ``authorized_keys`` is read at each
    login, ``host_key`` now (and made where it is missing). ``refusals`` are the program's. Raises ``OperatorError``.
    """
    factory = ManholeFactory(reactor, namespace, authorized_keys, load_host_key(host_key), banner, refusals)
    return Listener(reactor, endpoint, factory)


class ManholeFactory(SSHFactory):
    """Builds the transports of those who connect, within the bounds on strangers."""

    noisy = False
    protocol = ManholeTransport
    services = {b"ssh-userauth": Login, b"ssh-connection": ManholeConnection}
    primes = None
    _log = QUIET

    def __init__(
        self,
        reactor: Any,
        namespace: Mapping[str, object],
        authorized_keys: Path,
        host_key: Key,
        banner: str,
        refusals: Refusals,
    ) -> None:
        self.reactor = reactor
        self.authorized_keys = authorized_keys
        self.refusals = refusals
        self.privateKeys = {host_key.sshType(): host_key}
        self.publicKeys = {host_key.sshType(): host_key.public()}
        self._admission = Admission()
        self.headroom = descriptors.for_admins()
        self._namespace = namespace
        self._banner = banner

    def buildProtocol(self, addr: IAddress | None) -> ManholeTransport | None:  # type: ignore[override]
        """A transport, or None (closed at once) above the bounds."""
        # a Unix socket has no addresses: its users count as one
        host = str(getattr(addr, "host", "unix"))
        peer = f"{host}:{getattr(addr, 'port', '')}"
        refused = self.headroom.refusal()
        if refused is not None:
            self.refusals.refuse("descriptors", peer, refused)
            return None
        refused = self._admission.take(host)
        if refused is not None:
            self.refusals.refuse("manhole-flood", peer, refused)
            return None
        transport = super().buildProtocol(addr)
        assert isinstance(transport, ManholeTransport)
        transport.peer = peer
        transport.supportedPublicKeys = [name for key in self.privateKeys for name in SIGNATURES[key]]
        pending = [host]

        def known() -> None:
            while pending:
                self._admission.give_back(pending.pop())

        transport.on_known = known  # type: ignore[method-assign]
        return transport

    def make_user(self) -> ManholeUser:
        """What somebody gets who has logged in."""
        return ManholeUser(self._namespace, self._banner)
