"""Every test here names its tools by ``uses``; it is left out, with the reason, where one is missing."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.namespaces import why_none
from tests.tools.catalogue import TOOLS
from tests.tools.pages import Page, web_server
from tests.tools.site import HOST, Site, a_site

SOURCES = Path(__file__).parent


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


@pytest.fixture(scope="session")
def closed_port(site: Site) -> Iterator[int]:
    """A port of the Targets' machine that refuses, and that nobody else can take."""
    # the socket stays there, this thread must not: a fixture's block lasts as long as the session
    with site.inside.inside():
        closed = socket.socket()
    with closed:
        closed.bind((HOST, 0))
        yield closed.getsockname()[1]


@pytest.fixture(scope="session")
def go_dial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built; golang.org/x/net comes from the module proxy."""
    folder = SOURCES / "go_dial"
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    fetched = subprocess.run(["go", "mod", "download"], cwd=folder, env=environment, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"golang.org/x/net cannot be fetched: {fetched.stderr.strip()}")
    made = tmp_path_factory.mktemp("go") / "go_dial"
    subprocess.run(["go", "build", "-buildvcs=false", "-o", str(made), "."], cwd=folder, env=environment, check=True)
    return made


@pytest.fixture(scope="session")
def java_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Java program, compiled."""
    folder = tmp_path_factory.mktemp("java")
    subprocess.run(["javac", "-d", str(folder), str(SOURCES / "Fetch.java")], check=True)
    return folder
