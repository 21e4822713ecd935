"""What the figures were made on and with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.processes import SYSTEM_FOLDERS


def _first_line(*command: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=10, env={**os.environ, "PATH": path}
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not there"
    return ((done.stdout + done.stderr).strip().splitlines() or ["unknown"])[0]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not there"


def describe() -> dict[str, str | int]:
    """Processor, system and versions; nothing that names the machine or its owner."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": _version("twisted"),
        "pyopenssl": _version("pyopenssl"),
        "openssh": _first_line("ssh", "-V"),
    }
