"""One command on an SSH server by Twisted's conch, over any client endpoint."""

from typing import Any

from twisted.conch.ssh import channel, common, connection, keys, transport, userauth
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure


class _Command(channel.SSHChannel):
    name = b"session"

    def __init__(self, command: bytes, done: "Deferred[bytes]") -> None:
        super().__init__()
        self.command = command
        self.done = done
        self.output = b""

    def channelOpen(self, specificData: bytes) -> None:
        self.conn.sendRequest(self, b"exec", common.NS(self.command), wantReply=True)

    def dataReceived(self, data: bytes) -> None:
        self.output += data

    def closed(self) -> None:
        self.done.callback(self.output)


class _Connection(connection.SSHConnection):
    def __init__(self, command: _Command) -> None:
        super().__init__()
        self.command = command

    def serviceStarted(self) -> None:
        self.openChannel(self.command)


class _Key(userauth.SSHUserAuthClient):
    def __init__(self, user: bytes, key: keys.Key, instance: _Connection) -> None:
        super().__init__(user, instance)
        self.key = key

    def getPublicKey(self) -> keys.Key | None:
        key, self.offered = (None if hasattr(self, "offered") else self.key.public()), True
        return key

    def getPrivateKey(self) -> "Deferred[keys.Key]":
        return succeed(self.key)


class _Transport(transport.SSHClientTransport):
    def __init__(self, host_key: keys.Key, auth: _Key) -> None:
        self.host_key = host_key
        self.auth = auth
        self.lost: Deferred[None] = Deferred()

    def verifyHostKey(self, pubKey: bytes, fingerprint: bytes) -> "Deferred[bool]":
        return succeed(True) if keys.Key.fromString(pubKey) == self.host_key else fail(ValueError("another host key"))

    def connectionSecure(self) -> None:
        self.requestService(self.auth)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.lost.callback(None)


async def run(endpoint: IStreamClientEndpoint, user: str, key: str, host_key: str, command: str) -> bytes:
    """The output of ``command``, as ``user`` with the private key in ``key``; the server's is in ``host_key``.pub."""
    done: Deferred[bytes] = Deferred()
    auth = _Key(user.encode(), keys.Key.fromFile(key), _Connection(_Command(command.encode(), done)))
    server = keys.Key.fromFile(f"{host_key}.pub")
    protocol: Any = await endpoint.connect(Factory.forProtocol(lambda: _Transport(server, auth)))
    output = await done.addTimeout(30, reactor)
    protocol.loseConnection()
    await protocol.lost.addTimeout(30, reactor)
    return output
