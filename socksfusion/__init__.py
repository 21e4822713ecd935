"""SocksFusion: TCP through a firewall inside an encrypted tunnel, seen by its clients as a SOCKS5 server."""

__version__ = "0.1.0"
