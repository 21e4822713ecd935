"""An exception that nobody expects fails the test in which it was logged, where pairs of carriers are at work."""

from collections.abc import Iterator

import pytest

from tests.tunnel.pair import logged_failures


@pytest.fixture
def no_failures() -> Iterator[None]:
    """Nothing was logged with a traceback."""
    with logged_failures() as seen:
        yield
    assert not seen, [failure.getTraceback() for failure in seen]
