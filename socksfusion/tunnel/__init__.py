"""The carrier (TLS connection of an Agent to a Proxy) and its streams as Twisted transports."""
