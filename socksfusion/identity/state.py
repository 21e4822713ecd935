"""The state folder: the installation's keys, certificates and registry, closed to everybody but its owner.

``ca.key`` and ``proxy.key`` never change; a new certificate for the Proxy replaces one file, so certificate and key
always fit each other, also after a crash.
"""

import fcntl
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from socksfusion import limits
from socksfusion.errors import StateError
from socksfusion.identity.authority import Authority, certificate_names
from socksfusion.identity.keys import load_certificate, load_key
from socksfusion.identity.names import check_host
from socksfusion.identity.private_files import PrivateFileError, shown, write_private
from socksfusion.identity.state_checks import check_file, check_mode, check_owner, read_checked
from socksfusion.posix import sync_folder

VERSION = 1
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names that every Proxy's certificate has beside those it was given."""

_UNFINISHED = ".unfinished"
"""Stands in the folder from the first write of ``create`` until the last: what lies beside it was never in use."""


class StateFolder:
    """The state folder at ``path``; the attributes are the paths in it. Nothing is read before a method asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version_file = path / "version"
        self.ca_pem_file = path / "ca.pem"
        self.ca_key_file = path / "ca.key"
        self.proxy_pem_file = path / "proxy.pem"
        self.proxy_key_file = path / "proxy.key"
        self.registry_file = path / "registry.sqlite"
        self.manhole_host_key = path / "manhole_host_key"
        self.authorized_keys = path / "authorized_keys"
        self._files = (
            self.version_file, self.ca_pem_file, self.ca_key_file, self.proxy_pem_file, self.proxy_key_file,
            self.registry_file, self.manhole_host_key, self.authorized_keys,
        )  # fmt: skip

    @property
    def exists(self) -> bool:
        """Whether a state folder was made here (it may still be of another version or owner)."""
        return self.version_file.exists() and not (self.path / _UNFINISHED).exists()

    def create(self, names: Sequence[str], add_registry: Callable[[Path], None]) -> None:
        """Make the folder, with a Proxy's certificate for ``names``; ``add_registry`` makes the registry at a path.

        All or nothing: what an interrupted ``create`` left is not taken for a state folder, and the next one clears it
        away. Raises ``StateError`` where something else is there.
        """
        hosts = [check_host(name) for name in names]
        made = self._make_folder()
        with self._locked():
            if self.exists:
                raise StateError(f"another `socksfusion init` has just made {shown(self.path)}")
            try:
                self._begin()
                self._fill(hosts, add_registry)
                (self.path / _UNFINISHED).unlink()
                sync_folder(self.path)
            except BaseException as error:
                self._give_up(made)
                if isinstance(error, OSError):
                    raise StateError(f"can't make the state folder {shown(self.path)}: {error.strerror}")
                if isinstance(error, PrivateFileError):
                    raise StateError(str(error))
                raise

    def _make_folder(self) -> bool:
        try:
            self.path.mkdir(mode=0o700)
            return True
        except FileExistsError:
            pass
        except OSError as error:
            raise StateError(f"can't make the state folder {shown(self.path)}: {error.strerror}")
        if not self.path.is_dir():
            raise StateError(f"{shown(self.path)} is not a folder; give another by --state")
        check_owner(self.path)
        left = set(os.listdir(self.path))
        if left and _UNFINISHED not in left:
            raise StateError(
                f"{shown(self.path)} holds other files and no state folder's `version`; give an empty or a new folder"
            )
        self.path.chmod(0o700)
        return False

    def _begin(self) -> None:
        """Clear away what an interrupted ``create`` left, and mark the folder as unfinished."""
        (self.path / _UNFINISHED).touch(mode=0o600)
        sync_folder(self.path)
        self._clear()

    def _clear(self) -> None:
        own = tuple(file.name for file in self._files)
        for entry in self.path.iterdir():
            # also temporary files and SQLite's, which have our names with something before or behind them
            if entry.name.lstrip(".").startswith(own) and not entry.is_dir():
                entry.unlink()

    def _give_up(self, made: bool) -> None:
        self._clear()
        (self.path / _UNFINISHED).unlink(missing_ok=True)
        if made and not os.listdir(self.path):
            self.path.rmdir()

    def _fill(self, hosts: Sequence[str], add_registry: Callable[[Path], None]) -> None:
        authority, ca_key = Authority.create()
        proxy = authority.issue_proxy(_with_local_names(hosts))
        write_private(self.ca_pem_file, authority.ca_pem)
        write_private(self.ca_key_file, ca_key)
        write_private(self.proxy_pem_file, proxy.certificate_pem)
        write_private(self.proxy_key_file, proxy.key_pem)
        write_private(self.manhole_host_key, _new_host_key())
        write_private(self.authorized_keys, b"")
        add_registry(self.registry_file)
        write_private(self.version_file, b"%d\n" % VERSION)

    def open(self) -> "StateFolder":
        """Check owner, modes, version and completeness; raises ``StateError``. Gives the folder itself."""
        if not self.path.is_dir():
            raise StateError(
                f"there is no state folder {shown(self.path)}; give another by --state, or make it by: "
                f"socksfusion init --state {shlex.quote(shown(self.path))} --name HOST"
            )
        check_owner(self.path)
        check_mode(self.path)
        if (self.path / _UNFINISHED).exists():
            raise StateError(f"the state folder {shown(self.path)} was never finished; type again: socksfusion init")
        if not self.version_file.exists():
            raise StateError(f"{shown(self.path)} is not a state folder; make one by: socksfusion init")
        self._check_version()
        for file in self._files:
            if file is not self.authorized_keys:  # the admin's own, and no secret
                check_file(file)
        self._check_pairs()
        return self

    def _check_version(self) -> None:
        text = read_checked(self.version_file).decode("ascii", "replace").strip()
        if not text.isdecimal():
            raise StateError(f"{shown(self.version_file)} is damaged; restore the state folder from a backup")
        if int(text) != VERSION:
            raise StateError(
                f"the state folder {shown(self.path)} is of version {int(text)}, and this program uses version "
                f"{VERSION}; use the SocksFusion that made it, or a newer one"
            )

    def _check_pairs(self) -> None:
        self._authority()
        try:
            certificate = load_certificate(self.proxy_pem())
            fits = load_key(self.proxy_key_pem()).public_key() == certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            fits = False
        if not fits:
            raise StateError(f"proxy.pem or proxy.key in {shown(self.path)} is damaged; restore it from a backup")

    def ca_pem(self) -> bytes:
        """The CA's certificate."""
        return read_checked(self.ca_pem_file)

    def proxy_pem(self) -> bytes:
        """The Proxy's certificate, as it is now."""
        return read_checked(self.proxy_pem_file)

    def proxy_key_pem(self) -> bytes:
        """The Proxy's private key."""
        return read_checked(self.proxy_key_file)

    def authority(self, now: float | None = None) -> Authority:
        """The CA with its key, for certificates that begin ``now`` (Unix seconds).

        Raises ``StateError`` where it is damaged, or where the clock is outside the CA's years.
        """
        moment = time.time() if now is None else now
        authority = self._authority(lambda: moment)
        ca = load_certificate(authority.ca_pem)
        first, last = ca.not_valid_before_utc, ca.not_valid_after_utc
        if not first.timestamp() <= moment < last.timestamp():
            raise StateError(
                f"this machine's clock says {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(moment))}, and the CA is "
                f"valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}; set the clock"
            )
        return authority

    def _authority(self, now: Callable[[], float] = time.time) -> Authority:
        ca_pem, key_pem = self.ca_pem(), read_checked(self.ca_key_file)
        try:
            return Authority(ca_pem, key_pem, now)
        except (ValueError, UnsupportedAlgorithm):
            raise StateError(f"ca.pem or ca.key in {shown(self.path)} is damaged; restore it from a backup")

    def names(self) -> list[str]:
        """The names that the Proxy's certificate was asked to have, the usual one first, without the local ones."""
        return [name for name in self.certificate_names() if name not in LOCAL_NAMES]

    def certificate_names(self) -> list[str]:
        """All names of the Proxy's certificate, the usual one first."""
        try:
            return certificate_names(self.proxy_pem())
        except (ValueError, x509.ExtensionNotFound):
            raise self._damaged_proxy()

    def add_names(self, names: Sequence[str]) -> list[str]:
        """Issue the Proxy's certificate anew with ``names`` added; gives those that it did not have before.

        Without any such name nothing is written.
        """
        hosts = [check_host(name) for name in names]
        with self._locked():
            have = self.certificate_names()
            new = [host for host in dict.fromkeys(hosts) if host not in have]
            if new:
                self._reissue([*self.names(), *new], self.authority())
        return new

    def renew_proxy_certificate_if_due(self, now: float) -> bool:
        """Issue the Proxy's certificate anew when less than ``limits.PROXY_CERTIFICATE_RENEW_DAYS`` are left of it.

        Also when it is not valid yet: it was issued under a clock that was ahead.
        ``now`` is Unix seconds. Gives whether it was. Raises ``StateError``.
        """
        authority = self.authority(now)
        with self._locked():
            try:
                certificate = load_certificate(self.proxy_pem())
            except ValueError:
                raise self._damaged_proxy()
            first = certificate.not_valid_before_utc.timestamp()
            last = certificate.not_valid_after_utc.timestamp()
            if first <= now <= last - limits.PROXY_CERTIFICATE_RENEW_DAYS * 86400:
                return False
            self._reissue(self.names(), authority)
        return True

    def _reissue(self, hosts: Sequence[str], authority: Authority) -> None:
        try:
            issued = authority.issue_proxy(_with_local_names(hosts), self.proxy_key_pem())
            write_private(self.proxy_pem_file, issued.certificate_pem)
        except PrivateFileError as error:
            raise StateError(str(error))
        except ValueError:
            raise StateError(f"{shown(self.proxy_key_file)} is damaged; restore it from a backup")

    def _damaged_proxy(self) -> StateError:
        return StateError(f"{shown(self.proxy_pem_file)} is damaged; restore it from a backup")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process change the folder's certificates meanwhile."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _with_local_names(hosts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*hosts, *LOCAL_NAMES]))


def _new_host_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
