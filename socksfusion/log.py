"""Logging: txaio's loggers over twisted.logger, and text from outside made harmless.

``start_logging`` is twistd's business and is never called here.
"""

from collections.abc import Callable
from typing import Any

import txaio

from socksfusion import limits

txaio.use_twisted()


make_logger: Callable[[], Any] = txaio.make_logger
"""A txaio logger that is named after the module that calls this (``log.info("{what} happened", what=...)``).

Not wrapped in a function: txaio takes the name from its caller's frame.
"""


def printable(text: str | bytes, limit: int = limits.LOGGED_TEXT_CHARACTERS) -> str:
    r"""``text`` for a log line or terminal: bytes outside 0x20-0x7e as ``\xNN``, at most ``limit`` characters.

    A ``str`` is taken as UTF-8. A backslash becomes ``\\``, so that the result can't be mistaken. What is over the
    limit is cut and ends in ``...``.
    """
    if isinstance(text, str) and len(text) <= limit and text.isascii() and text.isprintable() and "\\" not in text:
        return text
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    shown = "".join(
        "\\\\" if byte == 0x5C else chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}" for byte in data[:limit]
    )
    if len(data) > limit or len(shown) > limit:
        return shown[: limit - 3] + "..."
    return shown
