"""What Proxy and Agent tell each other on the control stream: who they are, whether the Agent serves, what goes on."""

from typing import Final, Literal

from socksfusion.wire.message_fields import Moment, Seconds, TaggedMessage

PROTOCOL: Final = 1
"""The major version: peers of another one refuse each other."""
MINOR: Final = 1
"""The minor version: tells what a peer may know, never a reason to refuse."""

UDP: Final = "udp"
"""The feature of an Agent that serves :class:`AssociateRequest`."""
PAUSE: Final = "pause"
"""The feature of a Proxy that heeds :class:`Paused`, :class:`Resumed`, :class:`StopScan` and :class:`Uninstalled`."""
NARROW: Final = "narrow"
"""The feature of an Agent that heeds ``allow`` in requests."""
ASK: Final = "ask"
"""The feature of a Proxy that answers :class:`Standing`, and of a visitor that wants nothing else."""


class Hello(TaggedMessage, frozen=True, gc=False, tag="hello"):
    """The first record of each side on the control stream; the Proxy speaks first."""

    protocol: int
    """Major version of the protocol."""
    minor: int
    """Minor version of the protocol."""
    program: str
    """The program and its version, for people: ``socksfusion/0.1.0``."""
    features: list[str]
    """What the sender can do beyond its minor version."""
    program_id: str
    """Random for each start of the program: tells a second copy from the same program that comes back."""


class Welcome(TaggedMessage, frozen=True, gc=False, tag="welcome"):
    """Proxy to Agent: the key is registered, the session serves from now on."""

    agent: str
    """The name under which the Agent is registered."""
    heartbeat: Seconds
    """Seconds between two :class:`Running`; 0 for none."""


class Refused(TaggedMessage, frozen=True, gc=False, tag="refused"):
    """Proxy to Agent: no session, and why."""

    reason: Literal["replaced", "unknown", "duplicate", "version"]
    """A newer copy was verified; never known or revoked; another program with the same key serves; other major."""
    detail: str
    """The same for people, may be empty."""


class Standing(TaggedMessage, frozen=True, gc=False, tag="standing"):
    """Proxy to a visitor that only asks (``ASK``), instead of :class:`Welcome`: its key would be let in."""

    agent: str
    """The name under which the key is registered."""
    pending: bool
    """Whether the key is new: its first Agent makes it the active one, and the older copy's is no longer let in."""
    serving: bool
    """Whether an Agent of that name serves now, by this key or an older one."""


class ScanStarted(TaggedMessage, frozen=True, gc=False, tag="scan-started"):
    """Proxy to Agent: Clients use the Agent from now on."""

    scan: str
    """The scan's id: the same one again after a reconnection means the same scan."""


class ScanFinished(TaggedMessage, frozen=True, gc=False, tag="scan-finished"):
    """Proxy to Agent: the scan is over."""

    scan: str
    """The id that :class:`ScanStarted` told."""


class Running(TaggedMessage, frozen=True, gc=False, tag="running"):
    """Proxy to Agent, periodically: the connection works."""


class Paused(TaggedMessage, frozen=True, gc=False, tag="paused"):
    """Agent to Proxy: its admin has paused it; every request is answered 0x02 until :class:`Resumed`."""

    until: Moment
    """When it resumes by itself (Unix seconds); 0 for not by itself."""


class Resumed(TaggedMessage, frozen=True, gc=False, tag="resumed"):
    """Agent to Proxy: its admin has ended the pause."""


class StopScan(TaggedMessage, frozen=True, gc=False, tag="stop-scan"):
    """Agent to Proxy: its admin ends every scan that uses it."""


class Uninstalled(TaggedMessage, frozen=True, gc=False, tag="uninstalled"):
    """Agent to Proxy: its admin has removed it; it won't come again."""
