"""A TCP hop between Agent and Proxy that breaks as networks do."""

import socket
import struct
import threading
from types import TracebackType


class Forwarder:
    """Passes connections on to a port of this host, until it is told to ``cut`` or to ``freeze`` them.

    New connections pass in any case, but while it is ``down`` they are closed at once.
    """

    def __init__(self, upstream_port: int, host: str = "127.0.0.1") -> None:
        self._upstream = ("127.0.0.1", upstream_port)
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.hops: list[_Hop] = []
        self.down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset both sides of every connection."""
        for hop in self.hops:
            hop.cut()

    def freeze(self) -> None:
        """Pass nothing more on any connection, neither data nor its end: a cable is out, a NAT has forgotten."""
        for hop in self.hops:
            hop.frozen = True

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                near.close()
                continue
            self.hops.append(_Hop(near, socket.create_connection(self._upstream)))


class _Hop:
    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.frozen = False
        self._cut = False
        self._sockets = (near, far)
        self._pumps = [
            threading.Thread(target=self._pump, args=sockets, daemon=True) for sockets in ((near, far), (far, near))
        ]
        for pump in self._pumps:
            pump.start()

    def cut(self) -> None:
        if self._cut:
            return
        self._cut = True
        for end in self._sockets:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)  # close() would wait for a pump that still reads
            except OSError:
                pass
        for pump in self._pumps:
            pump.join()
        for end in self._sockets:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.frozen:
                    return
                sink.sendall(data)
            if not (self.frozen or self._cut):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
