"""The tools that the tests drive: how to find each, and which package brings it."""

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program on the path, or a Python module; ``package`` is Debian's, or pip's for a module."""

    name: str
    package: str
    programs: Sequence[str] = ()
    module: str = ""

    def why_missing(self) -> str:
        """Why it can't be driven here; empty where it can."""
        missing = [program for program in self.programs if shutil.which(program) is None]
        if self.module and importlib.util.find_spec(self.module) is None:
            missing.append(self.module)
        origin = "pip" if self.module else "Debian"
        return f"needs {', '.join(missing)} ({origin}: {self.package})" if missing else ""


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("curl", "curl", ["curl"]),
        Tool("nmap", "nmap", ["nmap"]),
        Tool("proxychains", "proxychains4", ["proxychains4"]),
        Tool("sqlmap", "sqlmap", ["sqlmap"]),
        Tool("nc", "netcat-openbsd", ["nc.openbsd"]),
        Tool("ncat", "ncat", ["ncat"]),
        Tool("ssh", "openssh-client", ["ssh", "ssh-keygen"]),
        Tool("sshd", "openssh-server", ["sshd"]),
        Tool("git", "git", ["git"]),
        Tool("PySocks", "PySocks", module="socks"),
        Tool("requests", "requests[socks]", module="requests"),
        Tool("httpx", "httpx[socks]", module="httpx"),
        Tool("Go", "golang-go", ["go"]),
        Tool("Java", "default-jdk-headless", ["java", "javac"]),
        Tool("Chromium", "chromium", ["chromium"]),
        Tool("torsocks", "torsocks", ["torsocks"]),
        Tool("redsocks", "redsocks", ["redsocks"]),
        Tool("iptables", "iptables", ["iptables"]),
    )
}
