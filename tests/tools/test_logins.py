"""Tools that can log in, at a Proxy that lets nobody in without: an account's name and token reach it as they are."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.tools.pages import TEXT, Page, web_server
from tests.tools.site import HOST, WEB, Site, a_site
from tests.tools.test_python import HTTPX, REQUESTS
from tests.tools.test_sqlmap import sqlmap
from tests.tools.vulnerable import SECRET, Shop

USER = "alice@demo"


@pytest.fixture(scope="module")
def guarded(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose Proxy requires a login; ``site`` only tells that there can be one."""
    with a_site(tmp_path_factory.mktemp("guarded"), "--authentication", "required") as made:
        yield made


@pytest.fixture(scope="module")
def token(guarded: Site) -> str:
    told = guarded.programs.admin("client", "add", "alice", "--agents", "demo")
    return told.partition("Its token: ")[2].split()[0]


@pytest.fixture(scope="module")
def page_port(guarded: Site) -> Iterator[int]:
    with web_server(guarded.inside, Page) as port:
        yield port


Command = Callable[[Site, str, str, int, Path], Sequence[object]]
"""Of a site, a user, a token, the page's port and a folder."""


def proxychains(site: Site, user: str, token: str, port: int, folder: Path) -> Sequence[object]:
    file = folder / "proxychains.conf"
    file.write_text(f"strict_chain\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 {site.port} {user} {token}\n")
    return "proxychains4", "-q", "-f", file, "curl", "-sS", f"http://{WEB}:{port}/"


def url(scheme: str, site: Site, user: str, token: str) -> str:
    return f"{scheme}://{user.replace('@', '%40')}:{token}@{site.proxy}"


COMMANDS: dict[str, Command] = {
    "curl by SOCKS5": lambda site, user, token, port, _: (
        *("curl", "-sS", "--socks5-hostname", site.proxy, "--proxy-user", f"{user}:{token}"),
        f"http://{WEB}:{port}/",
    ),
    "curl by HTTP CONNECT": lambda site, user, token, port, _: (
        *("curl", "-sS", "--proxytunnel", "--proxy", f"http://{site.proxy}", "--proxy-user", f"{user}:{token}"),
        f"http://{WEB}:{port}/",
    ),
    "curl by HTTP GET": lambda site, user, token, port, _: (
        *("curl", "-sS", "--proxy", f"http://{site.proxy}", "--proxy-user", f"{user}:{token}"),
        f"http://{WEB}:{port}/",
    ),
    "requests": lambda site, user, token, port, _: (
        *(sys.executable, "-c", REQUESTS, url("socks5h", site, user, token)),
        f"http://{WEB}:{port}/",
    ),
    "httpx": lambda site, user, token, port, _: (
        *(sys.executable, "-c", HTTPX, url("socks5h", site, user, token)),
        f"http://{WEB}:{port}/",
    ),
    "torsocks": lambda site, user, token, port, _: (
        *("torsocks", "--address", "127.0.0.1", "--port", site.port, "--user", user, "--pass", token),
        *("curl", "-sS", f"http://{HOST}:{port}/"),
    ),
    "proxychains": proxychains,
}


@pytest.mark.uses("curl", "requests", "httpx", "torsocks", "proxychains")
@pytest.mark.parametrize("tool", COMMANDS)
def test_with_its_token(guarded: Site, token: str, page_port: int, tmp_path: Path, tool: str) -> None:
    with guarded.trap() as trap:
        assert guarded.run(*COMMANDS[tool](guarded, USER, token, page_port, tmp_path)) == TEXT
        assert trap.leaks() == []


@pytest.mark.uses("Go")
def test_go(guarded: Site, token: str, page_port: int, go_dial: Path) -> None:
    told = guarded.run(go_dial, guarded.proxy, f"{WEB}:{page_port}", USER, token)
    assert told.endswith(TEXT)


@pytest.mark.uses("Java")
def test_java(guarded: Site, token: str, page_port: int, java_classes: Path) -> None:
    command = ("java", "-cp", java_classes, "-DsocksProxyHost=127.0.0.1", f"-DsocksProxyPort={guarded.port}")
    login = (f"-Duser={USER}", f"-Dtoken={token}")
    assert guarded.run(*command, *login, "Fetch", "unresolved", WEB, page_port).endswith(TEXT)


@pytest.mark.uses("ncat")
def test_ncat(guarded: Site, token: str, page_port: int) -> None:
    proxy = ("--proxy-type", "socks5", "--proxy-dns", "remote", "--proxy", guarded.proxy)
    command = ("ncat", *proxy, "--proxy-auth", f"{USER}:{token}", WEB, page_port)
    assert guarded.run(*command, said="GET / HTTP/1.0\r\n\r\n").endswith(TEXT)


@pytest.mark.uses("sqlmap")
def test_sqlmap_by_http(guarded: Site, token: str) -> None:
    with web_server(guarded.inside, Shop) as port:
        proxy = ("--proxy", f"http://{guarded.proxy}", "--proxy-cred", f"{USER}:{token}")
        assert SECRET in guarded.run(*sqlmap(f"http://{WEB}:{port}/item?id=1"), *proxy, seconds=110)


@pytest.mark.uses("git")
def test_git(guarded: Site, token: str, page_port: int) -> None:
    """It has come to the page, which is no repository."""
    proxy = f"http.proxy={url('socks5h', guarded, USER, token)}"
    told = guarded.run("git", "-c", proxy, "ls-remote", f"http://{WEB}:{page_port}/no.git", code=128)
    assert "is this a git repository?" in told


@pytest.mark.uses("curl")
@pytest.mark.parametrize("login", [(), ("--proxy-user", f"{USER}:wrong")], ids=["none", "wrong token"])
def test_without_the_right_one(guarded: Site, page_port: int, login: Sequence[str]) -> None:
    # CURLE_PROXY
    command = ("curl", "-sS", "--socks5-hostname", guarded.proxy, *login, f"http://{WEB}:{page_port}/")
    guarded.run(*command, code=97)
