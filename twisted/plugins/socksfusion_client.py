"""Twisted plugin: client endpoint strings ``socksfusion:host=HOST:port=PORT:…``."""

from socksfusion.client.strings import Parser

client = Parser()
