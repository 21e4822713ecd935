"""A SOCKS connect scanner, and ports for it to find."""

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from tests.end_to_end.network import Target, echo, socks_request


@contextmanager
def held_ports(count: int, host: str = "127.0.0.1") -> Iterator[tuple[list[int], list[int]]]:
    """3 open ports, and closed ones up to ``count``; all are held, so that nobody else takes one meanwhile."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        for one in sockets[:3]:
            one.listen(1024)
        ports = [one.getsockname()[1] for one in sockets]
        yield ports[:3], ports[3:]


def hundred_ports(host: str = "127.0.0.1") -> AbstractContextManager[tuple[list[int], list[int]]]:
    """3 open ports and 97 closed ones."""
    return held_ports(100, host)


@contextmanager
def thousand_ports(host: str = "127.0.0.1") -> Iterator[list[int]]:
    """1,000 ports, in the order in which to scan them: every 40th is open (an echo), the others are closed."""
    with ExitStack() as served, held_ports(978, host) as (_, closed):
        ports = list(closed)
        for place in range(0, 1000, 40):
            ports.insert(place, served.enter_context(Target(echo, host)).port)
        yield ports


@dataclass(frozen=True)
class Answer:
    """What one connect came to."""

    port: int
    reply: int
    seconds: float


def scan(
    clients_port: int,
    host: str,
    ports: Sequence[int],
    *,
    at_once: int,
    seconds: float = 60.0,
    answered: Callable[[int], object] = lambda count: None,
) -> list[Answer]:
    """Ask for each port, ``at_once`` of them side by side; the answers in the order of the ports.

    All together may take ``seconds``. ``answered`` is called after each answer, with how many there are by then.
    """
    return asyncio.run(_scan(clients_port, host, ports, at_once, seconds, answered))


def found(answers: Sequence[Answer]) -> dict[int, int]:
    """Port to reply: what two scans of the same ports are compared by."""
    return {answer.port: answer.reply for answer in answers}


async def _scan(
    clients_port: int,
    host: str,
    ports: Sequence[int],
    at_once: int,
    seconds: float,
    answered: Callable[[int], object],
) -> list[Answer]:
    places = asyncio.Semaphore(at_once)
    counted = itertools.count(1)

    async def ask(port: int) -> Answer:
        async with places:
            begun = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", clients_port)
            try:
                writer.write(b"\x05\x01\x00" + socks_request(host, port))
                assert await reader.readexactly(2) == b"\x05\x00"
                reply = (await reader.readexactly(10))[1]
                answered(next(counted))
                return Answer(port, reply, time.monotonic() - begun)
            finally:
                writer.close()

    async with asyncio.timeout(seconds):
        return list(await asyncio.gather(*map(ask, ports)))
