"""A SOCKS connect scanner, and ports for it to find."""

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.end_to_end.network import socks_request


@contextmanager
def hundred_ports(host: str = "127.0.0.1") -> Iterator[tuple[list[int], list[int]]]:
    """3 open ports and 97 closed ones; all are held, so that nobody else takes one meanwhile."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(100)]
        for one in sockets:
            one.bind((host, 0))
        for one in sockets[:3]:
            one.listen(1024)
        ports = [one.getsockname()[1] for one in sockets]
        yield ports[:3], ports[3:]


@dataclass(frozen=True)
class Answer:
    """What one connect came to."""

    port: int
    reply: int
    seconds: float


def scan(clients_port: int, host: str, ports: Sequence[int], *, at_once: int) -> list[Answer]:
    """Ask for each port, ``at_once`` of them side by side; the answers in the order of the ports."""
    return asyncio.run(_scan(clients_port, host, ports, at_once))


async def _scan(clients_port: int, host: str, ports: Sequence[int], at_once: int) -> list[Answer]:
    places = asyncio.Semaphore(at_once)

    async def ask(port: int) -> Answer:
        async with places:
            begun = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", clients_port)
            try:
                writer.write(b"\x05\x01\x00" + socks_request(host, port))
                assert await reader.readexactly(2) == b"\x05\x00"
                reply = (await reader.readexactly(10))[1]
                return Answer(port, reply, time.monotonic() - begun)
            finally:
                writer.close()

    async with asyncio.timeout(60):
        return list(await asyncio.gather(*map(ask, ports)))
