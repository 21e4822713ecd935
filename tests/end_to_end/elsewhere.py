"""The Agent as it would find itself on a system without what POSIX alone has.

SocksFusion's own imports get modules without it. Twisted and the standard library bring their own code for each system,
so theirs are left alone. Where root may, /proc is empty too.
"""

import builtins
import os
import select
import signal
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

MISSING_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
_TABLE = """
os O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC chown chroot fchmod fchown fork
os forkpty getegid geteuid getgid getgroups getloadavg getpgid getresuid getsid getuid initgroups
os killpg lchown mkfifo mknod nice openpty pread pwrite register_at_fork sched_getaffinity sendfile
os set_blocking setegid seteuid setgid setpgid setsid setuid sysconf uname wait3 wait4 waitid writev
select epoll kqueue poll
signal SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH alarm pause
signal pthread_sigmask setitimer sigwait
socket AF_NETLINK AF_PACKET AF_UNIX MSG_DONTWAIT MSG_NOSIGNAL SO_PEERCRED SO_REUSEPORT TCP_USER_TIMEOUT
socket TCP_INFO TCP_QUICKACK recv_fds send_fds
"""


def missing_names() -> dict[str, set[str]]:
    """Of each module what is taken away, as ``_TABLE`` tells it: the module, then names."""
    found: dict[str, set[str]] = {}
    for module, *names in map(str.split, _TABLE.split("\n")[1:-1]):
        found.setdefault(module, set()).update(names)
    return found


def _without(module: ModuleType, names: Collection[str]) -> ModuleType:
    reduced = ModuleType(module.__name__)
    reduced.__dict__.update({name: value for name, value in vars(module).items() if name not in names})
    return reduced


def take_away() -> None:
    """From now on imports by SocksFusion's modules find nothing of POSIX."""
    whole = {"os": os, "select": select, "signal": signal, "socket": socket}
    reduced = {name: _without(whole[name], names) for name, names in missing_names().items()}
    real = builtins.__import__

    # named as Python's own: some callers name its arguments
    def limited(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if globals is not None and str(globals.get("__name__")).partition(".")[0] == "socksfusion" and level == 0:
            if name in MISSING_MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in reduced:
                return reduced[name]
        return real(name, globals, locals, fromlist, level)

    builtins.__import__ = limited


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    assert not [name for name in sys.modules if name.startswith("socksfusion")]
    take_away()
    from socksfusion.cli.agent_program import main

    sys.exit(main())  # type: ignore[func-returns-value]
