"""``twistd socksfusion-agent``: options to service."""

from twisted.application.service import IService

from socksfusion.agent.options import Options
from socksfusion.program import Program, make_program

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The Agent as a service."""
    return make_program(options, _build)


def _build(program: Program) -> None:
    from socksfusion.agent.service import build

    build(program)
