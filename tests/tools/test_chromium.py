"""Chromium, headless. It has no SOCKS authentication: it needs a port of its own, or the only agent's."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.pages import Page, web_server
from tests.tools.site import HOST, WEB, Site
from tests.tools.trap import Door

pytestmark = pytest.mark.uses("Chromium")

NO_DATAGRAMS = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
STUN = "198.51.100.7"
CALLING_PAGE = f"""<html><body><p>a small page</p><img src="/held"><script>
const leave = () => fetch("/release");
const call = new RTCPeerConnection({{iceServers: [{{urls: "stun:{STUN}:3478"}}]}});
call.onicegatheringstatechange = () => {{ if (call.iceGatheringState === "complete") leave(); }};
call.createDataChannel("any");
call.createOffer().then(offer => call.setLocalDescription(offer));
setTimeout(leave, 2000);
</script></body></html>
"""


def chromium(site: Site, folder: Path, url: str, *options: str) -> str:
    """The page as it is once it has loaded, through the shared port unless the options name another."""
    return site.run(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}"),
        *(f"--proxy-server=socks5://{site.proxy}", *options, "--dump-dom", url),
    )


@pytest.mark.parametrize("host", [HOST, WEB])
def test_it_shows_a_page(sealed: Site, web_port: int, tmp_path: Path, host: str) -> None:
    assert "<p>a small page</p>" in chromium(sealed, tmp_path, f"http://{host}:{web_port}/")


@pytest.fixture
def scan_port(site: Site) -> Iterator[int]:
    """The port of a scan that runs."""
    told = site.programs.admin("scan", "start", "demo")
    scan, port = re.search(r"Scan (\w+)", told), re.search(r"Its port: (\d+)", told)
    assert scan is not None
    assert port is not None
    assert site.programs.proxy is not None
    site.programs.proxy.wait_log(f"starting on {port[1]}")
    yield int(port[1])
    site.programs.admin("scan", "stop", scan[1])


def test_it_shows_a_page_through_a_scans_own_port(site: Site, scan_port: int, web_port: int, tmp_path: Path) -> None:
    """Which says by itself whose it is."""
    with site.trap(Door("lo", "127.0.0.1", scan_port)) as trap:
        through = f"--proxy-server=socks5://127.0.0.1:{scan_port}"
        assert "<p>a small page</p>" in chromium(site, tmp_path, f"http://{WEB}:{web_port}/", through)
        leaks = trap.leaks()
    assert leaks == []


def show_a_calling_page(site: Site, folder: Path, *options: str) -> set[tuple[str, str, int]]:
    """Open a page that makes a WebRTC call; what leaked until it had found its ways out, or 2 s were over."""
    released = threading.Event()

    class Calling(Page):
        def do_GET(self) -> None:
            if self.path == "/release":
                released.set()
            if self.path == "/held":
                released.wait(30)
            self.answer(CALLING_PAGE)

    with web_server(site.inside, Calling) as port, site.trap() as trap:
        assert "<p>a small page</p>" in chromium(site, folder, f"http://{WEB}:{port}/", *options)
        return {(packet.transport, packet.host, packet.port) for packet in trap.leaks()}


def test_a_page_can_make_it_send_datagrams_beside_the_proxy(site: Site, tmp_path: Path) -> None:
    """So docs/tools.md gives it an option against that."""
    assert ("udp", STUN, 3478) in show_a_calling_page(site, tmp_path)


def test_with_the_option_it_sends_none(site: Site, tmp_path: Path) -> None:
    assert show_a_calling_page(site, tmp_path, NO_DATAGRAMS) == set()
