"""The heads of data streams: what the Proxy asks of the Agent, and what the Agent answers."""

from socksfusion.wire.message_fields import BoundHost, HostName, Name, Networks, Octet, Port, Seconds, TaggedMessage


class ConnectRequest(TaggedMessage, frozen=True, gc=False, omit_defaults=True, tag="connect"):
    """Proxy to Agent, the head of a data stream: open a TCP connection."""

    host: HostName
    """A name or an address literal (IPv6 without brackets), as the Client asked for it."""
    port: Port
    """TCP port."""
    timeout: Seconds
    """Limit in seconds for name resolution and all attempts together."""
    scan: Name = ""
    """The scan's id that it belongs to, for the Agent's record."""
    client: Name = ""
    """The account that asks, for the Agent's record and its fair queue; empty without a login."""
    allow: Networks = ()
    """Narrows what the Agent's policy allows: CIDR networks of which one must hold the address; empty: all."""
    id: Name = ""
    """The Proxy's name for this request: both sides' records tell it; empty from a Proxy that has none."""


class AssociateRequest(TaggedMessage, frozen=True, gc=False, omit_defaults=True, tag="associate"):
    """Proxy to Agent, the head of a data stream: relay datagrams (see ``wire.datagrams``)."""

    scan: Name = ""
    """As in :class:`ConnectRequest`."""
    client: Name = ""
    """As in :class:`ConnectRequest`."""
    allow: Networks = ()
    """As in :class:`ConnectRequest`, for each datagram's address."""
    id: Name = ""
    """As in :class:`ConnectRequest`."""


class AssociateReply(TaggedMessage, frozen=True, gc=False, tag="associate-reply"):
    """Agent to Proxy, the head of the other direction; after 0 datagrams follow both ways."""

    reply: Octet
    """A SOCKS reply code (RFC 1928, section 6)."""
    detail: str
    """The reason for people, may be empty."""


class ConnectReply(TaggedMessage, frozen=True, gc=False, tag="connect-reply"):
    """Agent to Proxy, the head of the other direction: how the dial ended."""

    reply: Octet
    """A SOCKS reply code (RFC 1928, section 6); after 0 the Target's bytes follow."""
    host: BoundHost
    """The Agent's own address on that connection; empty where there is none."""
    port: Port
    """The Agent's own port on that connection; 0 where there is none."""
    detail: str
    """The reason for people, may be empty."""
