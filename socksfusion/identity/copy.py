"""An Agent's copy: the one file that an Agent's machine is given, and all that it needs.

It is TOML with ``version``, the agent's name, the Proxy's address and three PEM texts (``ca``, ``certificate``,
``private_key``). A later version of the program may add keys; a change that an older one must not overlook raises
``version``: 2 where the copy has an agreed ``scope`` or ``expires``, which a program of version 1 would not keep to,
and 1 where it has neither.
"""

import time
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from socksfusion.errors import CopyError, UsageError
from socksfusion.exit_codes import ExitCode
from socksfusion.identity.keys import load_certificate
from socksfusion.identity.names import check_agent_name, parse_proxies
from socksfusion.identity.private_files import ExposedFileError, PrivateFileError, create_private, read_private, shown
from socksfusion.networks import parse_networks

VERSION = 2
"""The highest that this program reads."""

_TEMPLATE = """\
# An Agent copy of SocksFusion. It holds the private key of one agent: whoever reads this file can be that agent.
version = {version}
agent = "{agent}"
proxy = "{proxy}"
{agreed}ca = '''
{ca}'''
certificate = '''
{certificate}'''
private_key = '''
{key}'''
"""


class ExposedCopyError(CopyError):
    """Others can read or change the copy, or it is somebody else's."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class AgentCopy:
    """What an Agent knows of itself and of its Proxy."""

    agent: str
    """The agent's name; the registry goes by the key, not by this."""
    proxy: str
    """The Proxy's address, ``HOST:PORT``; several between commas are tried in turn."""
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    scope: tuple[str, ...] = ()
    """The agreed networks, CIDR: the Agent reaches no other, whatever its Proxy asks; empty where none was agreed."""
    expires: float | None = None
    """When what was agreed is over (Unix seconds): from then on the Agent reaches nothing."""

    @classmethod
    def load(cls, path: Path) -> "AgentCopy":
        """Read and check the copy at ``path``.

        Raises ``CopyError`` where others can read it, or it is damaged, of another version, or no copy at all. Whether
        its certificates are valid today is not asked: see ``clock_problem``.
        """
        try:
            text = read_private(path).decode()
            values = tomllib.loads(text)
        except ExposedFileError as error:
            raise ExposedCopyError(str(error))
        except PrivateFileError as error:
            raise CopyError(f"{error}; --copy names the file that 'socksfusion agent add' made")
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):  # the last: thousands of brackets
            raise _damaged(path, "it can't be parsed")
        return cls._from_values(path, values)

    @classmethod
    def _from_values(cls, path: Path, values: dict[str, Any]) -> "AgentCopy":
        version = values.get("version")
        if type(version) is not int or ("private_key" not in values and version <= VERSION):
            raise CopyError(f"{shown(path)} is not an Agent copy; make one by: socksfusion agent add NAME")
        if version > VERSION:
            raise CopyError(
                f"{shown(path)} is an Agent copy of version {version}, and this program reads versions 1 to {VERSION}; "
                "install a newer SocksFusion on this machine"
            )
        texts = {name: values.get(name) for name in ("agent", "proxy", "ca", "certificate", "private_key")}
        missing = [name for name, text in texts.items() if not isinstance(text, str)]
        if missing:
            raise _damaged(path, f"{', '.join(missing)} is missing")
        agent, proxy, *texts_of_pem = (str(text) for text in texts.values())
        ca, certificate, key = (text.encode() for text in texts_of_pem)
        scope, expires = _agreed(path, values)
        copy = cls(agent, proxy, ca, certificate, key, scope, expires)
        copy._check(path)
        return copy

    def _check(self, path: Path) -> None:
        try:
            check_agent_name(self.agent)
            parse_proxies(self.proxy)
        except UsageError as error:
            raise _damaged(path, str(error))
        try:
            ca, certificate = self._certificates()
            key = serialization.load_pem_private_key(self.key_pem, password=None)
            fits = certificate.public_key() == key.public_key()
            certificate.verify_directly_issued_by(ca)
        except InvalidSignature:
            raise _damaged(path, "its certificate is not from its CA")
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _damaged(path, "a certificate or the key in it can't be used")
        if not fits:
            raise _damaged(path, "its certificate and key don't belong together")

    def _certificates(self) -> tuple[x509.Certificate, x509.Certificate]:
        return load_certificate(self.ca_pem), load_certificate(self.certificate_pem)

    def clock_problem(self, now: float | None = None) -> str | None:
        """What to tell the user if the certificates aren't valid at ``now`` (Unix seconds), else ``None``."""
        seconds = time.time() if now is None else now
        for certificate in self._certificates():
            first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if not first.timestamp() <= seconds <= last.timestamp():
                clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
                return (
                    f"this machine's clock says {clock}, and the Agent copy is valid from {first:%Y-%m-%d} "
                    f"to {last:%Y-%m-%d}; set the clock, or get a new copy by: socksfusion agent renew {self.agent}"
                )
        return None

    def save(self, path: Path) -> None:
        """Write the copy to ``path`` with mode 0600.

        Raises ``UsageError`` where that name is taken, and ``CopyError`` where it can't be written.
        """
        try:
            create_private(path, self.text().encode())
        except FileExistsError:
            raise UsageError(f"{shown(path)} exists already; give another name by --out, or move it away")
        except PrivateFileError as error:
            raise CopyError(str(error))

    def text(self) -> str:
        """The copy as it stands in its file, with the private key."""
        return _TEMPLATE.format(
            version=1 if not self.scope and self.expires is None else 2,
            agent=self.agent,
            proxy=self.proxy,
            agreed=self._agreed_lines(),
            ca=self.ca_pem.decode(),
            certificate=self.certificate_pem.decode(),
            key=self.key_pem.decode(),
        )

    def _agreed_lines(self) -> str:
        lines = []
        if self.scope:
            networks = ", ".join(f'"{network}"' for network in self.scope)
            lines.append(f"# the networks that were agreed: this agent reaches no other\nscope = [{networks}]\n")
        if self.expires is not None:
            over = datetime.fromtimestamp(self.expires, UTC).isoformat(timespec="seconds")
            lines.append(f"# from then on it reaches nothing\nexpires = {over}\n")
        return "".join(lines)


def _agreed(path: Path, values: dict[str, Any]) -> tuple[tuple[str, ...], float | None]:
    """What was agreed; it counts in a copy of any version."""
    scope: tuple[str, ...] = ()
    if "scope" in values:
        networks = values["scope"]
        if not isinstance(networks, list) or not networks or not all(isinstance(text, str) for text in networks):
            raise _damaged(path, "its scope is no list of networks")
        scope = tuple(networks)
        try:
            parse_networks(scope)
        except ValueError as error:
            raise _damaged(path, f"its scope names {error}")
    expires = values.get("expires")
    if expires is None:
        return scope, None
    if not isinstance(expires, datetime) or expires.tzinfo is None:
        raise _damaged(path, "its expires is no time such as 2030-01-31T12:00:00Z")
    return scope, expires.timestamp()


def _damaged(path: Path, why: str) -> CopyError:
    return CopyError(
        f"the Agent copy {shown(path)} is damaged: {why}; get it again, or a new one by: socksfusion agent renew"
    )
