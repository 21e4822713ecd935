"""The list of parts of a bundle, in CycloneDX 1.6 (JSON): packages, Python and the libraries of the build's system."""

import hashlib
import platform
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution
from typing import Final

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_OWN: Final = "socksfusion"


def cyclonedx(
    executable: bytes,
    version: str,
    packages: Iterable[Distribution],
    libraries: dict[str, bytes],
    glibc: str | None,
    at: int,
) -> str:
    """The list as JSON text. ``at`` is the time that it tells (Unix seconds); the same parts give the same text."""
    bom = Bom(
        serial_number=uuid.UUID(bytes=hashlib.sha256(executable).digest()[:16], version=4),
        components=[*map(_package, packages), _python(), *(_library(*one) for one in sorted(libraries.items()))],
    )
    own = Component(
        name="socksfusion-agent",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="socksfusion-agent",
        hashes=[_sha256(executable)],
        properties=[] if glibc is None else [Property(name=f"{_OWN}:lowest-glibc", value=glibc)],
    )
    bom.metadata.component = own
    bom.metadata.timestamp = datetime.fromtimestamp(at, UTC)
    bom.register_dependency(own, bom.components)
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _package(distribution: Distribution) -> Component:
    name, metadata = distribution.metadata["Name"], distribution.metadata
    told = metadata.get("License-Expression") or metadata.get("License")
    # older packages put the whole text there
    licenses = [LicenseFactory().make_from_string(told)] if told and "\n" not in told else []
    return Component(
        name=name,
        version=distribution.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, name.lower(), distribution.version),
        bom_ref=f"{name.lower()}=={distribution.version}",
        licenses=licenses,
    )


def _python() -> Component:
    return Component(name="python", version=platform.python_version(), type=ComponentType.PLATFORM, bom_ref="python")


def _library(path: str, content: bytes) -> Component:
    return Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=[_sha256(content)])


def _sha256(content: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())
