"""Every test here names its tools by ``uses``; it is left out, with the reason, where one is missing."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.namespaces import why_none
from tests.tools.catalogue import TOOLS
from tests.tools.pages import Page, web_server
from tests.tools.site import Site, a_site


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tools" in item.path.parts:
            item.add_marker(pytest.mark.tools)
            item.add_marker(pytest.mark.end_to_end)


def pytest_runtest_setup(item: pytest.Item) -> None:
    names = [name for marker in item.iter_markers("uses") for name in marker.args]
    item.user_properties.extend(("tool", name) for name in names)
    for name in names:
        reason = TOOLS[name].why_missing()
        if reason:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The networks with a Proxy and an Agent; skips where none can be made."""
    reason = why_none()
    if reason:
        pytest.skip(reason)
    with a_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def sealed(site: Site) -> Iterator[Site]:
    """The site; a packet that leaves the tool's network by another way than the Proxy fails the test."""
    with site.trap() as trap:
        yield site
        assert [str(packet) for packet in trap.leaks()] == []


@pytest.fixture(scope="session")
def web_port(site: Site) -> Iterator[int]:
    """A web page on the Targets' machine."""
    with web_server(site.inside, Page) as port:
        yield port
