import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.namespaces import Network, why_none
from tests.end_to_end.programs import Installation, installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "end_to_end" in item.path.parts:
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture(scope="session", autouse=True)
def _enough_descriptors() -> None:
    """Thousands of sockets at once are usual here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    """A state folder; nothing runs yet."""
    with installation(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Proxy and one Agent that serves, for all tests of a module that leave them as they are."""
    with installation(tmp_path_factory.mktemp("serving")) as made:
        copy = made.add_agent("demo")
        made.start_proxy()
        made.start_agent(copy)
        yield made


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Two namespaces and a cable; skips where none can be made."""
    reason = why_none()
    if reason:
        pytest.skip(reason)
    made = Network()
    yield made
    made.close()
