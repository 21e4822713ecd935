"""``twistd socksfusion-proxy``: options to service."""

from twisted.application.service import IService

from socksfusion.program import Program, make_program
from socksfusion.proxy.options import Options

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The Proxy as a service."""
    return make_program(options, _build)


def _build(program: Program) -> None:
    # the Proxy's own packages are imported when it starts, not when twistd lists its plugins
    from socksfusion.proxy.service import build

    build(program)
