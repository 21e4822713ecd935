"""twistd plugin: the uvloop reactor."""

from twisted.application.reactors import Reactor

uvloop = Reactor("uvloop", "socksfusion.uvloop_reactor", "Asyncio's reactor on uvloop, for SocksFusion's programs")
