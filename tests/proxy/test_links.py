"""The link site: its connection, timed by a Clock, and bundles made with a thread that the test plays."""

import io
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import h11
import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher

from socksfusion import limits
from socksfusion.identity.agent_bundle import known_signers
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from socksfusion.identity.tls import site_context
from socksfusion.identity.tokens import token_digest
from socksfusion.proxy import link_pages
from socksfusion.proxy.guessing import Guessing
from socksfusion.proxy.link_pages import Answer
from socksfusion.proxy.link_site import LinkSite
from socksfusion.proxy.links import LinksFactory
from socksfusion.refusals import Refusals
from socksfusion.registry.store import Registry, RegistryError
from socksfusion.tunnel.tls import TLSMachine
from tests.tunnel.certificates import proxy_issued
from tests.tunnel.pipe import pass_time, pipe, pump

SECRET = b"A" * 32
PATH = b"/link/" + SECRET
FILES = ["acme.agent", "README.txt", "WINDOWS.txt", "allowed_signers", "socksfusion-agent.service"]
FILES += [f"{name}{end}" for name in ("socksfusion-agent", "socksfusion-agent.cdx.json") for end in ("", ".sig")]


class FakeSite:
    """Answers what the test gives it, when the test does."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.answers: list[Deferred[Answer]] = []

    def answer(self, method: bytes, target: bytes, peer: str) -> "Deferred[Answer]":
        self.asked.append((method, target))
        self.answers.append(Deferred())
        return self.answers[-1]


class Browser:
    """The other end of one connection: TLS without a certificate, over a pipe."""

    def __init__(self, clock: Clock, factory: LinksFactory, *, capacity: int = 1 << 20) -> None:
        self.clock = clock
        self.end, self.there = pipe(clock, capacity=capacity)
        context = SSL.Context(SSL.TLS_METHOD)
        self.tls = TLSMachine(context, server=False)
        self.plain = b""
        self.lost = False
        self.end.protocol = self
        served: Any = factory.buildProtocol(self.there.getPeer())
        self.served = served is not None
        if served is not None:
            self.there.protocol = served
            served.makeConnection(self.there)

    def dataReceived(self, data: bytes) -> None:
        self.plain += b"".join(self.tls.receive_data(data))
        self.flush()

    def connectionLost(self, reason: object) -> None:
        self.lost = True

    def flush(self) -> None:
        data = self.tls.data_to_send()
        if data:
            self.end.write(data)

    def pump(self, piece: int = 1 << 20) -> None:
        pump(self.clock, self.end, self.there, piece=piece)

    def shake(self) -> None:
        self.flush()
        self.pump()
        assert self.tls.handshaken

    def says(self, data: bytes) -> None:
        self.tls.send(data)
        self.flush()
        self.pump()

    def asks(self, method: bytes = b"POST", target: bytes = PATH) -> None:
        self.says(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

    def wait(self, seconds: float) -> None:
        pass_time(self.clock, seconds, self.end, self.there, step=0.5)

    @property
    def heard(self) -> tuple[int, bytes]:
        """The answer's status, and as much of its body as came."""
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="POST", target="/", headers=[("Host", "x")]))
        http.send(h11.EndOfMessage())
        http.receive_data(self.plain)
        head, body = http.next_event(), b""
        assert isinstance(head, h11.Response)
        while isinstance(event := http.next_event(), h11.Data):
            body += event.data
        return head.status_code, body


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals(self.clock.seconds)
        self.site = FakeSite()
        issued = proxy_issued()
        context = site_context(issued.certificate_pem, issued.key_pem)
        self.factory = LinksFactory(
            cast(Any, self.clock), context, cast(LinkSite, self.site), self.refusals, per_address=2
        )

    def browser(self, *, capacity: int = 1 << 20, shaken: bool = True) -> Browser:
        browser = Browser(self.clock, self.factory, capacity=capacity)
        if shaken:
            browser.shake()
        return browser


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("shaken", [False, True], ids=["no TLS", "no request"])
def test_a1_a_request_has_its_time_and_a_byte_now_and_then_does_not_prolong_it(world: World, shaken: bool) -> None:
    browser = world.browser(shaken=shaken)
    for byte in b"GET /link":
        browser.wait(1)
        if shaken:
            browser.says(bytes([byte]))
    assert not browser.lost
    browser.wait(limits.LINK_REQUEST_SECONDS - 9 + 1)
    assert browser.lost
    assert world.refusals.counts == {"link-request": 1}
    assert world.clock.getDelayedCalls() == []


def test_once_it_has_asked_its_time_is_the_sites(world: World) -> None:
    browser = world.browser()
    browser.asks(b"GET")
    assert world.site.asked == [(b"GET", PATH)]
    browser.wait(3 * limits.LINK_REQUEST_SECONDS)
    world.site.answers[0].callback(link_pages.over())
    browser.pump()
    assert browser.heard[0] == 410
    assert browser.lost


def test_it_gets_one_answer(world: World) -> None:
    browser = world.browser()
    browser.says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    browser.asks()
    assert len(world.site.asked) == 1


def test_an_answer_that_is_not_taken_ends_in_time(world: World) -> None:
    browser = world.browser()
    browser.asks(b"GET")
    browser.there.stalled = True
    world.site.answers[0].callback(link_pages.over())
    browser.wait(limits.LINK_SENDING_SECONDS - 1)
    assert not browser.lost
    browser.wait(2)
    assert browser.lost
    assert world.refusals.counts == {"link-request": 1}


def test_who_hangs_up_waits_for_nothing(world: World) -> None:
    browser = world.browser()
    browser.asks()
    browser.end.abortConnection()
    browser.pump()
    assert world.site.answers[0].called
    assert world.clock.getDelayedCalls() == []


def test_more_than_its_share_of_an_address_is_not_served_until_one_is_gone(world: World) -> None:
    first, second = world.browser(), world.browser()
    assert not world.browser(shaken=False).served
    first.end.abortConnection()
    first.pump()
    assert world.browser(shaken=False).served
    assert second.served


def file_of(tmp_path: Path, size: int) -> Answer:
    path = tmp_path / "bundle"
    path.write_bytes(os.urandom(size))
    return link_pages.bundle_file("acme", path.open("rb"))


def test_a_bundle_on_a_slow_line_takes_its_time_and_little_memory(world: World, tmp_path: Path) -> None:
    answer = file_of(tmp_path, 2_000_000)
    browser = world.browser(capacity=16 * 1024)
    browser.asks()
    world.site.answers[0].callback(answer)
    began, most = world.clock.seconds(), 0
    while not browser.lost:
        most = max(most, browser.there.unsent)
        browser.end.move(16 * 1024)
        browser.there.move(16 * 1024)
        world.clock.advance(limits.LINK_SENDING_SECONDS / 10)
    assert world.clock.seconds() - began > 2 * limits.LINK_SENDING_SECONDS
    assert most < 2 * limits.LINK_PIECE_BYTES
    assert browser.heard == (200, (tmp_path / "bundle").read_bytes())
    assert answer.file is not None
    assert answer.file.closed
    assert world.refusals.counts == {}


def test_a_bundle_that_nobody_takes_any_more_is_cut(world: World, tmp_path: Path) -> None:
    answer = file_of(tmp_path, 2_000_000)
    browser = world.browser(capacity=16 * 1024)
    browser.asks()
    browser.there.stalled = True
    world.site.answers[0].callback(answer)
    browser.wait(limits.LINK_SENDING_SECONDS - 1)
    assert not browser.lost
    browser.wait(2)
    assert browser.lost
    assert answer.file is not None
    assert answer.file.closed
    assert world.refusals.counts == {"link-request": 1}


# -- the site, with a real registry and real bundles -------------------------------------------------------------------


class FakeWatch:
    """The registry without its thread; ``fails`` is what it raises."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.fails: Exception | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> "Deferred[Any]":
        if self.fails is not None:
            return fail(self.fails)
        return succeed(function(*args))


class Kept:
    """A site over a state folder with a release and an open link for acme."""

    def __init__(self, path: Path) -> None:
        self.state = StateFolder(path / "state")
        self.state.create(["proxy.example"], lambda file: Registry.create(file).close())
        self.registry = Registry.open(self.state.registry_file)
        self.registry.add_agent("acme", bytes(32))
        self.registry.links.add(token_digest(SECRET), "acme", "proxy.example:443", "ops", 4e9)
        self.watch = FakeWatch(self.registry)
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        clock = Clock()
        guessing = Guessing(clock, Refusals(clock.seconds))
        self.site = LinkSite(cast(Any, self.watch), self.state, guessing, self.in_thread)
        self.clock = clock

    def in_thread(self, function: Callable[[], Any]) -> "Deferred[Any]":
        self.waiting.append((function, Deferred()))
        return self.waiting[-1][1]

    def work(self) -> None:
        """What waits for the thread, done."""
        function, done = self.waiting.pop(0)
        try:
            result = function()
        except Exception as error:
            done.errback(error)
        else:
            done.callback(result)

    def ask(self, target: bytes = PATH + b"?bundle", method: bytes = b"POST") -> list[Answer]:
        """What was answered, once it is."""
        answers: list[Answer] = []
        self.site.answer(method, target, "192.0.2.9:1").addCallback(answers.append)
        return answers

    def keys(self) -> list[str]:
        return [key.state for key in self.registry.agent_keys("acme")]


def sign(folder: Path) -> None:
    key = folder.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    for name in ("socksfusion-agent", "socksfusion-agent.cdx.json"):
        (folder / name).write_bytes(name.encode() * 1000)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "socksfusion-release", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    public = (folder.parent / "key.pub").read_text()
    (folder / "allowed_signers").write_text(f'socksfusion-release namespaces="socksfusion-release" {public}')


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    folder = known_signers(made.state).parent
    folder.mkdir(mode=0o700)
    try:
        sign(folder)
    except FileNotFoundError:
        pytest.skip("needs ssh-keygen (Debian: openssh-client)")
    yield made
    made.registry.close()


def test_the_page_offers_both_where_there_is_a_release(kept: Kept) -> None:
    (page,) = kept.ask(method=b"GET", target=PATH)
    assert b"Download the bundle" in page.body
    assert b"Download the copy alone" in page.body
    known_signers(kept.state).unlink()
    (page,) = kept.ask(method=b"GET", target=PATH)
    assert b"bundle" not in page.body
    assert b"Download the copy<" in page.body


def test_a_bundle_is_all_of_it_and_uses_the_link_up(kept: Kept, tmp_path: Path) -> None:
    answers = kept.ask()
    assert kept.keys() == ["pending"]
    kept.work()
    (answer,) = answers
    assert answer.file is not None
    assert ("Content-Disposition", 'attachment; filename="acme.zip"') in answer.headers
    with answer.file as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        assert sorted(archive.namelist()) == sorted(FILES)
        archive.extract("acme.agent", tmp_path)
    (tmp_path / "acme.agent").chmod(0o600)
    assert AgentCopy.load(tmp_path / "acme.agent").proxy == "proxy.example:443"
    assert kept.keys() == ["pending", "pending"]
    for target in (PATH, PATH + b"?bundle"):
        again = kept.ask(target)
        kept.clock.advance(5)
        assert [one.status for one in again] == [410]
    assert kept.waiting == []


@pytest.mark.parametrize("other", [PATH, PATH + b"?bundle"], ids=["copy", "bundle"])
def test_two_at_once_get_one(kept: Kept, other: bytes) -> None:
    bundle, second = kept.ask(), kept.ask(other)
    assert len(kept.waiting) == 1, "one is made at a time"
    kept.work()
    kept.clock.advance(5)
    assert sorted(one.status for one in bundle + second) == [200, 410]
    assert kept.keys() == ["pending", "pending"]
    for answer in bundle + second:
        answer.drop()


def test_who_hangs_up_before_it_is_made_has_used_nothing_up(kept: Kept) -> None:
    gone = kept.site.answer(b"POST", PATH + b"?bundle", "192.0.2.9:1")
    gone.addErrback(lambda _: None)
    gone.cancel()
    kept.work()
    assert kept.keys() == ["pending"]
    (answer,) = kept.ask(PATH)
    assert answer.status == 200


@pytest.mark.parametrize("broken", ["release", "registry"])
def test_what_fails_uses_nothing_up(kept: Kept, broken: str) -> None:
    if broken == "release":
        (known_signers(kept.state).parent / "socksfusion-agent").write_bytes(b"changed")
    answers = kept.ask()
    if broken == "registry":
        kept.watch.fails = RegistryError("the disk is full")
    kept.work()
    assert [one.status for one in answers] == [503]
    kept.watch.fails = None
    assert kept.keys() == ["pending"]
    (answer,) = kept.ask(PATH)
    assert answer.status == 200


@pytest.mark.parametrize("target", [PATH, PATH + b"?bundle"], ids=["copy", "bundle"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_j2_a_thousand_who_hang_up_while_the_registry_is_asked_write_no_line(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, method: bytes, target: bytes
) -> None:
    monkeypatch.setattr(kept.watch, "run", lambda function, *args: Deferred())
    lines: list[object] = []
    globalLogPublisher.addObserver(observe := cast(ILogObserver, lines.append))
    ends: list[Any] = []
    try:
        for _ in range(1000):
            asked = kept.site.answer(method, target, "192.0.2.9:1")
            asked.addBoth(ends.append)
            asked.cancel()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(ends) == 1000
    assert lines == []
