"""What the messages of Proxy and Agent are made of: their base, and the types of their fields."""

from typing import Annotated, Final, TypeAlias

import msgspec

from socksfusion import limits

HostName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.HOST_NAME_BYTES)]
BoundHost: TypeAlias = Annotated[str, msgspec.Meta(max_length=limits.HOST_NAME_BYTES)]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86400)]
LAST_MOMENT: Final = 253_402_214_400
"""The last day of the year 9999 begins (Unix seconds): a later time can't be shown in every zone."""
Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LAST_MOMENT)]
Octet: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
Networks: TypeAlias = Annotated[tuple[str, ...], msgspec.Meta(max_length=limits.NARROWING_NETWORKS)]


class TaggedMessage(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """The base of every message; ``gc=False`` because none can be part of a cycle."""
