"""twistd plugin: the Proxy."""

from twisted.application.service import ServiceMaker

proxy = ServiceMaker(
    "SocksFusion Proxy",
    "socksfusion.proxy.tap",
    "Serves SOCKS5 clients through agents behind firewalls",
    "socksfusion-proxy",
)
