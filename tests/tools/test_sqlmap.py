"""sqlmap reads a table through the Agent."""

import pytest

from tests.tools.pages import web_server
from tests.tools.site import WEB, Site
from tests.tools.vulnerable import SECRET, Shop


@pytest.mark.uses("sqlmap")
def test_it_dumps_the_table_of_a_vulnerable_page(sealed: Site) -> None:
    with web_server(sealed.inside, Shop) as port:
        told = sealed.run(
            *("sqlmap", "--batch", "--flush-session", "--disable-coloring", "--proxy", f"socks5://{sealed.proxy}"),
            *("--url", f"http://{WEB}:{port}/item?id=1", "--dbms", "sqlite", "--technique", "U", "--threads", 2),
            *("-T", "users", "--dump", "--timeout", 60),
            seconds=110,
        )
    assert SECRET in told
