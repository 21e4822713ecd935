"""The policy file: rules that only the Agent's admin writes, and that count without a restart.

Plain text, a rule a line (see ``rules.py`` and etc/agent.policy). A file that others could have written is not read.
One that breaks while the Agent runs leaves the rules as they were.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from twisted.internet.interfaces import IReactorTime

from socksfusion import limits, posix
from socksfusion.agent.policy import Agreed, Policy
from socksfusion.agent.rules import Rules, allow_list, parse_rule
from socksfusion.errors import UsageError
from socksfusion.identity.copy import AgentCopy
from socksfusion.log import make_logger, printable
from socksfusion.networks import parse_networks
from socksfusion.options import ProgramOptions
from socksfusion.repeating import Repeating

_log = make_logger()

_LINKS_FOLLOWED: Final = 40
"""Linux follows no more (path_resolution(7))."""

Version: TypeAlias = tuple[int, int, int, int]
"""What tells that a file has changed: inode, size, times of its content and of its rights."""


class PolicyError(UsageError):
    """The policy file can't be used; the text says where and what to do."""


@dataclass(frozen=True)
class _Read:
    text: str
    version: Version


def load_policy(path: Path) -> Rules:
    """The rules in the file at ``path``.

    :raises PolicyError: there is none, others can write it, or a line is no rule.
    """
    return parse_policy(_read(path).text, path)


def chosen_policy(options: ProgramOptions, copy: AgentCopy | None) -> Policy:
    """The policy that the Agent's options and its copy give; raises ``PolicyError``."""
    rules = None
    if options["policy"] is not None:
        rules = load_policy(Path(options["policy"]))
    elif options["allow"]:
        rules = allow_list(options["allow"])
    return Policy(rules, Agreed() if copy is None else Agreed(parse_networks(copy.scope), copy.expires))


def parse_policy(text: str, path: Path) -> Rules:
    """The rules in ``text``, the content of the file at ``path``; raises ``PolicyError``."""
    shown = printable(str(path))
    lines = text.split("\n")
    if lines[-1]:
        raise PolicyError(
            f"{shown} line {len(lines)}: the line has no end, so the file may be cut off; end it by a line feed"
        )
    rules = []
    for number, line in enumerate(lines, 1):
        rule = _without_comment(line)
        if not rule:
            continue
        try:
            rules.append(parse_rule(rule, f"policy line {number}"))
        except ValueError as error:
            raise PolicyError(f"{shown} line {number}: {error}") from None
    if not rules:
        raise PolicyError(f"{shown} has no rule; 'deny any' is how it denies everything")
    return Rules(tuple(rules), "no rule of the policy")


def _without_comment(line: str) -> str:
    for place, character in enumerate(line):
        if character == "#" and (place == 0 or line[place - 1].isspace()):
            line = line[:place]
            break
    return " ".join(line.split())


def _read(path: Path) -> _Read:
    shown = printable(str(path))
    try:
        # O_NONBLOCK: a planted FIFO must not hang us before we see that it is one
        descriptor = os.open(path, os.O_RDONLY | posix.NON_BLOCKING | posix.CLOSE_ON_EXEC | posix.BINARY)
        try:
            status = os.fstat(descriptor)
            _refuse_foreign(path, status)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limits.POLICY_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PolicyError(f"can't read the policy file {shown}: {error.strerror}") from error
    if len(data) > limits.POLICY_FILE_BYTES:
        raise PolicyError(f"the policy file {shown} is longer than {limits.POLICY_FILE_BYTES} bytes; join its networks")
    try:
        return _Read(data.decode(), _version(status))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{shown} line {line}: it is no text in UTF-8") from None


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    """Raise ``PolicyError`` where somebody else can change the file, or put another in its place."""
    if not stat.S_ISREG(status.st_mode):
        raise PolicyError(f"{printable(str(path))} is not a regular file; put the policy file itself there")
    own = posix.effective_user()
    if own is None:
        return
    for place, there in [(path, status), *_folders(path)]:
        shown = printable(str(place))
        if there.st_uid not in (own, 0):
            raise PolicyError(
                f"{shown} belongs to somebody else than root and who runs the Agent; type: chown root {shown}"
            )
        # in a folder with the sticky bit others can't replace what is not theirs; on a file it says nothing
        sticky = stat.S_ISDIR(there.st_mode) and there.st_mode & stat.S_ISVTX
        if there.st_mode & 0o022 and not sticky:
            raise PolicyError(
                f"others can change {shown} (mode {stat.S_IMODE(there.st_mode):04o}), and so the policy; "
                f"type: chmod go-w {shown}"
            )


def _folders(path: Path) -> list[tuple[Path, os.stat_result]]:
    """The folder of ``path``, and where it is a link those of all that it leads by; ``OSError`` where one goes away."""
    found = [(path.parent, os.stat(path.parent))]
    # the file was just opened, so the kernel could follow them
    while path.is_symlink() and len(found) <= _LINKS_FOLLOWED:
        path = path.parent / os.readlink(path)
        found.append((path.parent, os.stat(path.parent)))
    return found


def _version(status: os.stat_result) -> Version:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class PolicyFile(Repeating):
    """Keeps ``policy.rules`` to what the file at ``path`` says; it is read once when this is made.

    While it can't be used the rules stay as they were, and ``policy.problem`` says why. Making it raises
    ``PolicyError``.
    """

    name = "policy-file"

    def __init__(
        self, clock: IReactorTime, path: Path, policy: Policy, seconds: float = limits.POLICY_POLL_SECONDS
    ) -> None:
        super().__init__(clock, seconds, self._look)
        self._path = path
        self._policy = policy
        self._version: Version | None = None
        self._take_up()

    def _look(self) -> None:
        try:
            version = _version(os.stat(self._path))
        except OSError:
            version = None
        # what makes a file unfit may lie beside it: the rights of its folder, say
        if version == self._version and not self._policy.problem:
            return
        told = self._policy.problem if version == self._version else ""
        self._version = version
        try:
            self._take_up()
        except PolicyError as error:
            self._policy.problem = str(error)
            if self._policy.problem != told:
                _log.error("the policy stays as it was: {problem}", problem=self._policy.problem)

    def _take_up(self) -> None:
        read = _read(self._path)
        rules = parse_policy(read.text, self._path)
        self._version = read.version
        self._policy.rules = rules
        self._policy.problem = ""
        _log.info("policy: {count} rules of {path}", count=len(rules.rules), path=printable(str(self._path)))
