"""``twistd --reactor=uvloop``: Twisted's asyncio reactor on uvloop's event loop, where uvloop is installed.

docs/performance.md has the figures beside the default reactor.
"""

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor


def install() -> None:
    """Make it the reactor of this process; ``ModuleNotFoundError`` where uvloop is not installed."""
    import uvloop

    installReactor(AsyncioSelectorReactor(uvloop.new_event_loop()))
