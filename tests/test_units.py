"""The example units of systemd: what systemd reads, options that exist, exit codes that a restart would not help."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from socksfusion.exit_codes import ExitCode

ETC = Path(__file__).parent.parent / "etc"
UNITS = {
    "socksfusion-proxy.service": {ExitCode.USAGE, ExitCode.STATE},
    "socksfusion-agent.service": {ExitCode.USAGE, ExitCode.STATE, ExitCode.REPLACED, ExitCode.NOT_REGISTERED},
}

ARGUMENTS = {
    "socksfusion-proxy.service": ["--config", "/etc/socksfusion/proxy.toml"],
    "socksfusion-agent.service": ["--copy", "${CREDENTIALS_DIRECTORY}/copy"],
}


def value(unit: str, key: str) -> str:
    found: list[str] = re.findall(rf"^{key}=(.*)$", (ETC / unit).read_text(), re.MULTILINE)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("unit", UNITS)
def test_it_starts_a_console_script_with_what_it_is_given(unit: str) -> None:
    program, *arguments = shlex.split(value(unit, "ExecStart"))
    name = unit.removesuffix(".service")
    assert Path(program).name == name
    assert arguments == ARGUMENTS[unit]


@pytest.mark.parametrize("unit", UNITS)
def test_what_a_restart_would_not_help_is_not_restarted(unit: str) -> None:
    assert {ExitCode(int(code)) for code in value(unit, "RestartPreventExitStatus").split()} == UNITS[unit]


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze (Debian: systemd) is missing")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    # systemd asks whether the program is there
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", (ETC / unit).read_text(), flags=re.MULTILINE)
    (tmp_path / unit).write_text(text)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, [line for line in run.stderr.splitlines() if unit in line]) == (0, [])
