"""twistd plugin: the Agent."""

from twisted.application.service import ServiceMaker

agent = ServiceMaker(
    "SocksFusion Agent",
    "socksfusion.agent.tap",
    "Connects to a Proxy and opens what its clients ask for",
    "socksfusion-agent",
)
