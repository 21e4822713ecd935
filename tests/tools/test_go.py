"""Go's golang.org/x/net/proxy, from the module proxy."""

from pathlib import Path

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, HOST6, WEB, Site

pytestmark = pytest.mark.uses("Go")


@pytest.mark.parametrize("host", [HOST, f"[{HOST6}]", WEB])
def test_it_dials(sealed: Site, go_dial: Path, web_port: int, host: str) -> None:
    assert sealed.run(go_dial, sealed.proxy, f"{host}:{web_port}").endswith(TEXT)


def test_it_tells_a_refused_port(sealed: Site, go_dial: Path, closed_port: int) -> None:
    assert "connection refused" in sealed.run(go_dial, sealed.proxy, f"{HOST}:{closed_port}", code=1)
