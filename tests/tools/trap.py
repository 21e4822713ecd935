"""Sees every packet that leaves a network namespace, and says which did not go through the doors that it was told."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.end_to_end.namespaces import Namespace

HEAD_BYTES = 128
"""Enough for the headers."""
BUFFER_BYTES = 64 << 20
"""The kernel keeps what was sent until the tool has ended; a test fails if it had to drop one."""
ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
ARP = 0x0806
TRANSPORTS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
# neighbours are looked for (RFC 4861), and the joining of multicast groups is told (RFC 3810, RFC 3376), by the kernel
# itself and in its own time; what a tool then sends to a group is a leak as any other
KERNELS_OWN_ICMP6 = {133, 134, 135, 136, 143}
IGMP = 2


@dataclass(frozen=True)
class Packet:
    """One that left the namespace; ``port`` is 0 where its protocol has none."""

    interface: str
    transport: str
    source: str
    source_port: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport} to {self.host} port {self.port} by {self.interface}, from port {self.source_port}"


@dataclass(frozen=True)
class Door:
    """A listener of the namespace: what comes from it and goes to it is no leak. Nobody else can have its place."""

    interface: str
    host: str
    port: int
    transport: str = "tcp"

    def lets(self, packet: Packet) -> bool:
        """Whether the packet goes to the listener or comes from it."""
        ends = ((packet.source, packet.source_port), (packet.host, packet.port))
        same_kind = (packet.interface, packet.transport) == (self.interface, self.transport)
        return same_kind and (self.host, self.port) in ends


class Trap:
    """A raw socket on all interfaces of a namespace, loopback too. ``leaks`` after the tool has ended."""

    def __init__(self, namespace: Namespace, neighbour: str, doors: Sequence[Door]) -> None:
        self._doors = tuple(doors)
        self._neighbour = socket.inet_aton(neighbour)
        with namespace.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def leaks(self) -> list[Packet]:
        """What left by no door since the trap was set or last asked; fails where the kernel had to drop a packet."""
        found = []
        while True:
            try:
                head, (interface, ethertype, direction, _, _) = self._socket.recvfrom(HEAD_BYTES)
            except BlockingIOError:
                break
            if direction != PACKET_OUTGOING or self._is_the_kernels_own(ethertype, head):
                continue
            packet = read_packet(interface, head)
            if not any(door.lets(packet) for door in self._doors):
                found.append(packet)
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert dropped == 0, f"{dropped} packets were not seen"
        return found

    def _is_the_kernels_own(self, ethertype: int, head: bytes) -> bool:
        if ethertype == ARP:
            return head[24:28] == self._neighbour
        if head[0] >> 4 == 4:
            return head[9] == IGMP
        if head[0] >> 4 != 6:
            return False
        # multicast reports have a hop-by-hop header of 8 bytes first
        next_header, first = (head[40], head[48]) if head[6] == 0 else (head[6], head[40])
        return next_header == socket.IPPROTO_ICMPV6 and first in KERNELS_OWN_ICMP6


def read_packet(interface: str, head: bytes) -> Packet:
    """Addresses and ports of an IPv4 (RFC 791) or IPv6 (RFC 8200) packet; anything else is told by its first bytes."""
    if head[0] >> 4 == 4:
        protocol, rest = head[9], head[(head[0] & 15) * 4 :]
        source, host = socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:20])
    elif head[0] >> 4 == 6:
        protocol, rest = head[6], head[40:]
        source, host = (socket.inet_ntop(socket.AF_INET6, head[at : at + 16]) for at in (8, 24))
    else:
        return Packet(interface, f"frame {head[:8].hex()}", "", 0, "", 0)
    transport = TRANSPORTS.get(protocol, f"protocol {protocol}")
    ports = struct.unpack("!HH", rest[:4]) if transport in ("tcp", "udp", "sctp") and len(rest) >= 4 else (0, 0)
    return Packet(interface, transport, source, ports[0], host, ports[1])
