"""An exception that nobody expects fails the test in which it was logged."""

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure

from tests.tunnel.pair import logged_failures


@pytest.fixture(autouse=True)
def failures() -> Iterator[list[Failure]]:
    """What was logged; a test that expects something takes it out."""
    with logged_failures() as seen:
        yield seen
    assert not seen, [failure.getTraceback() for failure in seen]
