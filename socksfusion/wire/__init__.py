"""Wire formats and state machines: bytes in, events out, bytes to send. Nothing here imports Twisted."""
