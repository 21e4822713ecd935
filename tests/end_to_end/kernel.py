"""What the kernel knows of TCP sockets: how much is on its way, who is connected to whom."""

import fcntl
import socket
import struct
import termios
from pathlib import Path

ESTABLISHED, SYN_SENT, CLOSE_WAIT = "01", "02", "08"


def unsent_bytes(connection: socket.socket) -> int:
    """Bytes that the other end's kernel has not acknowledged (SIOCOUTQ)."""
    (size,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(size)


def sockets_to(port: int, state: str) -> list[int]:
    """Sockets of this machine that are connected, or connecting, to ``port`` on IPv4: what each holds unread, bytes."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, its_state, queues, *_ = line.split()
        if int(remote.split(":")[1], 16) == port and its_state == state:
            found.append(int(queues.split(":")[1], 16))
    return found


def full_listener() -> tuple[socket.socket, socket.socket]:
    """A listener whose queue is full, and the connection that fills it: further dials get no answer until accept()."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    return listener, socket.create_connection(listener.getsockname())
