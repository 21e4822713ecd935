"""The link site's pages: HTML that loads nothing, and the answers that carry it."""

import base64
import hashlib
import os
import time
from dataclasses import dataclass
from html import escape
from typing import IO

from socksfusion.registry.schema import Agent, Link

_STYLE = """\
:root{color-scheme:light dark;--line:#d5dae1;--soft:#5b6675;--back:#f4f6f8;--card:#fff;--go:#0b5cad}
@media(prefers-color-scheme:dark){:root{--line:#394250;--soft:#a3afbf;--back:#12161c;--card:#1b212a;--go:#2f7fd3}}
*{box-sizing:border-box}
body{margin:0;padding:4vh 16px;background:var(--back);font:17px/1.5 system-ui,sans-serif}
main{max-width:42rem;margin:auto;padding:clamp(20px,5vw,40px);background:var(--card);border:1px solid var(--line);
border-radius:12px}
h1{margin:0 0 .6em;font-size:1.6rem;line-height:1.2}
dl{display:grid;grid-template-columns:auto 1fr;gap:.5em 1.2em;margin:1.5em 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
button{padding:.7em 1.4em;border:0;border-radius:8px;background:var(--go);color:#fff;font:inherit;font-weight:600;
cursor:pointer;margin:0 .6em .6em 0}
button.other{background:none;color:inherit;border:1px solid var(--line)}
small{display:block;margin-top:1.5em;color:var(--soft)}
code{overflow-wrap:anywhere}
@media(max-width:30rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.7em}button{width:100%}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("X-Robots-Tag", "noindex, nofollow"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
)
"""With every answer: the address is a secret, and goes nowhere from here."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``headers`` are those beside ``HEADERS``. ``file``, at its beginning, follows the body."""

    status: int
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    file: IO[bytes] | None = None

    @property
    def length(self) -> int:
        """In bytes, of all that follows the head."""
        return len(self.body) + (os.fstat(self.file.fileno()).st_size if self.file is not None else 0)

    def drop(self) -> None:
        """It is not needed any more. Harmless when repeated."""
        if self.file is not None:
            self.file.close()


_COPY_FORM = '<form method="post"><button>Download the copy</button></form>'
_BUNDLE_FORM = """<form method="post"><button formaction="?bundle">Download the bundle</button>
<button class="other">Download the copy alone</button></form>"""
_BUNDLE = """<p>The bundle is a zip with the program, its copy, the list of its parts, signatures, and a page that tells
how to check and install it. Where the program is there already, the copy alone will do. The link gives one of the
two.</p>
"""


def offer(link: Link, agent: Agent, *, bundle: bool) -> Answer:
    """What the link is for, and the button; two of them where there is a bundle to have."""
    rows = [
        ("Agent", agent.name),
        ("Connects to", link.proxy),
        ("May reach", ", ".join(agent.scope) or "what your rules allow; no networks were agreed"),
        ("Until", "it is shut out" if agent.expires is None else _moment(agent.expires)),
        ("Link made by", link.by),
        ("Link valid until", f"{_moment(link.expires)}, and for one download"),
    ]
    table = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    file = escape(f"{agent.name}.agent")
    form, what = (_BUNDLE_FORM, _BUNDLE) if bundle else (_COPY_FORM, "")
    return _page(
        200,
        "A copy for your SocksFusion Agent",
        f"""<p>The SocksFusion Agent runs in your network, connects out to the address below by TLS, and opens the
connections that its clients ask for, as far as your rules allow. It listens on nothing. Its copy is the one file that
tells it who it is.</p>
<dl>{table}</dl>
{what}{form}
<small>The file, <code>{file}</code>, holds a private key: keep it to yourself, and after the download type
<code>chmod 600 {file}</code>, for the Agent refuses a copy that others can read. When it first connects, an older copy
of this agent stops working. A download that breaks off needs a new link. Nothing is used up
until you press the button.</small>""",
    )


def over(status: int = 410) -> Answer:
    """One answer for links that are wrong, used, expired or revoked: nobody learns which."""
    return _page(
        status,
        "This link leads nowhere",
        "<p>It was used already, is too old, or was never made.</p>"
        "<p>Ask whoever sent it to you for a new one. If you did not download the copy yourself, "
        "tell them so: somebody else may have it.</p>",
    )


def trouble(status: int, text: str) -> Answer:
    """What can't be answered otherwise."""
    headers = (("Allow", "GET, HEAD, POST"),) if status == 405 else ()
    page = _page(status, "That did not work", f"<p>{escape(text)}</p>")
    return Answer(page.status, page.body, page.content_type, headers)


def copy_file(agent: str, text: str) -> Answer:
    """The download. An agent's name has no character that would need quoting."""
    headers = (("Content-Disposition", f'attachment; filename="{agent}.agent"'),)
    return Answer(200, text.encode(), "application/octet-stream", headers)


def bundle_file(agent: str, file: IO[bytes]) -> Answer:
    """The download of a bundle."""
    headers = (("Content-Disposition", f'attachment; filename="{agent}.zip"'),)
    return Answer(200, b"", "application/zip", headers, file)


def _page(status: int, title: str, content: str) -> Answer:
    return Answer(
        status,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>
{content}</main></body></html>
""".encode(),
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
