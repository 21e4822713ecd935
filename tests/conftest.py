"""What all tests share."""

import hypothesis

from tests.tools.summary import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

# wall-clock limits fail honest tests on a busy machine; a test that hangs is ended by pytest-timeout
hypothesis.settings.register_profile(
    "socksfusion", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("socksfusion")
