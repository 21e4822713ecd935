"""Go's golang.org/x/net/proxy, from the module proxy."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

pytestmark = pytest.mark.uses("Go")

SOURCE = Path(__file__).with_name("go_dial")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    fetched = subprocess.run(["go", "mod", "download"], cwd=SOURCE, env=environment, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"golang.org/x/net cannot be fetched: {fetched.stderr.strip()}")
    made = tmp_path_factory.mktemp("go") / "go_dial"
    subprocess.run(["go", "build", "-o", str(made), "."], cwd=SOURCE, env=environment, check=True)
    return made


@pytest.mark.parametrize("host", [HOST, f"[{HOST6}]", WEB])
def test_it_dials(sealed: Site, program: Path, web_port: int, host: str) -> None:
    assert sealed.run(program, sealed.proxy, f"{host}:{web_port}").endswith(TEXT)


def test_it_tells_a_refused_port(sealed: Site, program: Path) -> None:
    with sealed.inside.inside(), socket.socket() as closed:
        closed.bind((HOST, 0))
        told = sealed.run(program, sealed.proxy, f"{HOST}:{closed.getsockname()[1]}", code=1)
    assert "connection refused" in told
