"""torsocks, for programs that know no proxy. Its names are for Tor only: it asks by a command of Tor's."""

import pytest

from tests.tools.pages import TEXT
from tests.tools.site import HOST, WEB, Site

pytestmark = pytest.mark.uses("torsocks", "curl")


def test_an_address(sealed: Site, web_port: int) -> None:
    command = ("torsocks", "--address", "127.0.0.1", "--port", sealed.port, "curl", "-sS")
    assert sealed.run(*command, f"http://{HOST}:{web_port}/") == TEXT


def test_a_name_is_not_found_and_does_not_leak(sealed: Site, web_port: int) -> None:
    command = ("torsocks", "--address", "127.0.0.1", "--port", sealed.port, "curl", "-sS")
    # CURLE_COULDNT_RESOLVE_HOST
    sealed.run(*command, f"http://{WEB}:{web_port}/", code=6)
