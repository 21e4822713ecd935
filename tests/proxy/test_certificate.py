"""The Proxy's certificate: renewed while it runs, and a folder that can't be used changes nothing."""

import time
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.task import Clock

from socksfusion import limits
from socksfusion.errors import StateError
from socksfusion.identity.state import StateFolder
from socksfusion.proxy.certificate import ProxyCertificate


class Watched:
    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder / "state")
        self.state.create(["proxy.example.org"], Path.touch)
        self.clock = Clock()
        self.days = 0.0
        self.used: list[Any] = []
        self.certificate = ProxyCertificate(self.clock, self.state, lambda: time.time() + self.days * 86400)
        self.certificate.observe(self.used.append)
        self.certificate.startService()

    def pass_an_hour(self) -> None:
        self.clock.advance(3600)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_one_that_lasts_is_left_alone(watched: Watched) -> None:
    first = watched.certificate.context
    watched.pass_an_hour()
    assert watched.used == []
    assert watched.certificate.context is first


def test_one_that_is_due_is_issued_anew_and_told(watched: Watched) -> None:
    first, pem = watched.certificate.context, watched.state.proxy_pem()
    watched.days = limits.PROXY_CERTIFICATE_DAYS - limits.PROXY_CERTIFICATE_RENEW_DAYS + 1
    watched.pass_an_hour()
    assert watched.state.proxy_pem() != pem
    (context,) = watched.used
    assert context is watched.certificate.context
    assert context is not first
    assert isinstance(context, SSL.Context)


def test_a_name_that_was_added_is_told(watched: Watched) -> None:
    watched.state.add_names(["other.example.org"])
    watched.pass_an_hour()
    watched.pass_an_hour()
    assert len(watched.used) == 1


def test_a_folder_that_can_not_be_used_changes_nothing(watched: Watched) -> None:
    first = watched.certificate.context
    good = watched.state.proxy_pem()
    watched.state.proxy_pem_file.write_bytes(b"damaged")
    watched.pass_an_hour()
    assert watched.used == []
    assert watched.certificate.context is first
    watched.state.proxy_pem_file.write_bytes(good)
    watched.state.add_names(["other.example.org"])
    watched.pass_an_hour()
    assert len(watched.used) == 1, "it went on looking"


def test_without_a_sound_folder_there_is_none(watched: Watched) -> None:
    watched.state.proxy_pem_file.write_bytes(b"damaged")
    with pytest.raises(StateError):
        ProxyCertificate(watched.clock, watched.state)
