"""Chromium, headless. It has no SOCKS authentication: it needs a port of its own, or the only agent's."""

import threading
from pathlib import Path

import pytest

from tests.tools.pages import Page, web_server
from tests.tools.site import HOST, WEB, Site

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
    """The page as it is once it has loaded."""
    return site.run(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}"),
        *(f"--proxy-server=socks5://{site.proxy}", *options, "--dump-dom", url),
    )


@pytest.mark.parametrize("host", [HOST, WEB])
def test_it_shows_a_page(sealed: Site, web_port: int, tmp_path: Path, host: str) -> None:
    assert "<p>a small page</p>" in chromium(sealed, tmp_path, f"http://{host}:{web_port}/")


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
