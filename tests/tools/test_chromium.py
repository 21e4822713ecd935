"""Chromium, headless. It has no SOCKS authentication: it needs a port of its own, or the only agent's."""

from pathlib import Path

import pytest

from tests.tools.site import HOST, WEB, Site

pytestmark = pytest.mark.uses("Chromium")


@pytest.mark.parametrize("host", [HOST, WEB])
def test_it_shows_a_page(sealed: Site, web_port: int, tmp_path: Path, host: str) -> None:
    told = sealed.run(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}"),
        *(f"--proxy-server=socks5://{sealed.proxy}", "--dump-dom", f"http://{host}:{web_port}/"),
    )
    assert "<p>a small page</p>" in told
