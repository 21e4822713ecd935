"""proxy.accounts: which login is right, what it may open, and that neither tells a guesser which names there are."""

import hmac
from typing import Any

import pytest

from socksfusion import limits
from socksfusion.networks import intersected
from socksfusion.proxy import accounts as module
from socksfusion.proxy.access import Access, Grant, WhyNot
from socksfusion.proxy.accounts import Accounts
from socksfusion.registry.schema import Snapshot
from socksfusion.wire.socks5 import Reply
from tests.proxy.accounts import Registered, access, digest


@pytest.fixture
def registered() -> Registered:
    """Agents a and b, scans s1 and s2 of a, and Alice, who may use a."""
    made = Registered("a", "b")
    made.scan("s1", "a")
    made.scan("s2", "a")
    made.client("alice", "a")
    return made


def login(registered: Registered, user: str, password: str, template: Access | None = None) -> Access | None:
    return registered.accounts(required=True).login(user.encode(), password.encode(), template or access())


@pytest.mark.parametrize(
    ("user", "password", "completed"),
    [
        ("a", "a-token", {"agent": "a"}),
        ("a", "s1-token", {"agent": "a", "scan": "s1"}),
        ("a", "s2-token", {"agent": "a", "scan": "s2"}),
        ("alice@a", "alice-token", {"agent": "a", "client": "alice"}),
    ],
)
def test_right_logins(registered: Registered, user: str, password: str, completed: dict[str, str]) -> None:
    assert login(registered, user, password) == access(token=digest(password), **completed)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("a", "b-token"),
        ("a", "alice-token"),
        ("a", "a-toke"),
        ("a", ""),
        ("b", "s1-token"),
        ("c", "a-token"),
        ("", "a-token"),
        ("A", "a-token"),
        ("alice", "alice-token"),
        ("alice@", "alice-token"),
        ("alice@b", "alice-token"),
        ("alice@c", "alice-token"),
        ("alice@a", "a-token"),
        ("alice@a", "s1-token"),
        ("bob@a", "alice-token"),
        ("@a", "a-token"),
        ("a@a", "a-token"),
        ("alice@a@a", "alice-token"),
    ],
)
def test_wrong_logins(registered: Registered, user: str, password: str) -> None:
    assert login(registered, user, password) is None


def test_bytes_that_no_name_has_are_a_wrong_login(registered: Registered) -> None:
    assert registered.accounts().login(b"\xff\x00\n" * 80, b"\xff", access()) is None


@pytest.mark.parametrize(
    ("change", "user", "password"),
    [
        (lambda there: there.agent("a", revoked=True), "a", "a-token"),
        (lambda there: there.agent("a", uninstalled=True), "a", "a-token"),
        (lambda there: there.agent("a", expires=1_000.0), "a", "a-token"),
        (lambda there: there.agent("a", token=None), "a", "a-token"),
        (lambda there: there.agent("a", token=digest("newer")), "a", "a-token"),
        (lambda there: there.end_scan("s1"), "a", "s1-token"),
        (lambda there: there.scan("s1", "a", until=1_000.0), "a", "s1-token"),
        (lambda there: there.client("alice", "a", revoked=True), "alice@a", "alice-token"),
        (lambda there: there.client("alice", "b"), "alice@a", "alice-token"),
        (lambda there: there.client("alice", "a", token=digest("newer")), "alice@a", "alice-token"),
        (lambda there: there.agent("a", revoked=True), "alice@a", "alice-token"),
    ],
)
def test_f1_what_was_right_is_wrong_after_a_change_at_login_and_at_every_open(
    registered: Registered, change: Any, user: str, password: str
) -> None:
    logged_in = login(registered, user, password)
    assert logged_in is not None
    accounts = registered.accounts(required=True)
    assert isinstance(accounts.standing(logged_in), Grant)
    change(registered)
    assert isinstance(accounts.standing(logged_in), WhyNot)
    assert accounts.login(user.encode(), password.encode(), access()) is None


@pytest.mark.parametrize(
    ("template", "user", "password", "scan"),
    [
        (access(agent="a"), "a", "a-token", None),
        (access(agent="a"), "a", "s1-token", "s1"),
        (access(agent="a"), "alice@a", "alice-token", None),
        (access(agent="a", scan="s1"), "a", "a-token", "s1"),
        (access(agent="a", scan="s1"), "a", "s1-token", "s1"),
        (access(agent="a", scan="s1"), "alice@a", "alice-token", "s1"),
    ],
)
def test_a_login_on_a_port_of_its_own(
    registered: Registered, template: Access, user: str, password: str, scan: str | None
) -> None:
    completed = login(registered, user, password, template)
    assert completed is not None
    assert (completed.agent, completed.scan) == ("a", scan)
    assert isinstance(registered.accounts(required=True).standing(completed), Grant)


@pytest.mark.parametrize(
    ("template", "user", "password"),
    [
        (access(agent="b"), "a", "a-token"),
        (access(agent="b"), "alice@a", "alice-token"),
        (access(agent="a", scan="s1"), "a", "s2-token"),
    ],
)
def test_a_login_never_leads_away_from_the_port_that_it_came_to(
    registered: Registered, template: Access, user: str, password: str
) -> None:
    assert login(registered, user, password, template) is None


class Counted:
    """Counts the comparisons of tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[tuple[int, int]] = []
        monkeypatch.setattr(module, "hmac", self)

    def compare_digest(self, first: bytes, second: bytes) -> bool:
        self.lengths.append((len(first), len(second)))
        return hmac.compare_digest(first, second)


def test_c9_names_that_exist_cost_the_same_work_as_others(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of comparisons, and what is compared: digests of one length, whatever was given."""
    registered.agent("revoked", revoked=True)
    registered.client("gone", "a", revoked=True)
    work: dict[str, list[tuple[int, int]]] = {}
    users = ["a", "b", "revoked", "nobody", "", "alice@a", "alice@b", "alice@nobody", "gone@a", "nobody@a", "x" * 255]
    for user in users:
        for password in ("", "wrong", "w" * 255):
            counted = Counted(monkeypatch)
            assert login(registered, user, password) is None
            work[f"{user} {password}"] = counted.lengths
    assert set(map(tuple, work.values())) == {((32, 32),) * 3}


# -- what an access may do ---------------------------------------------------------------------------------------------


def standing(registered: Registered, of: Access, **options: Any) -> Grant | WhyNot:
    return registered.accounts(**options).standing(of)


def refused(registered: Registered, of: Access, **options: Any) -> tuple[str, Reply]:
    found = standing(registered, of, **options)
    assert isinstance(found, WhyNot)
    return found.rule, found.reply


def test_the_shared_port_without_a_login_is_the_only_agents() -> None:
    registered = Registered("a")
    found = standing(registered, access())
    assert found == Grant("a", None, None, (), limits.CONNECT_SECONDS, limits.HOLD_SECONDS)
    registered.agent("b")
    assert refused(registered, access()) == ("ambiguous", Reply.GENERAL_FAILURE)


@pytest.mark.parametrize("fields", [{"expires": 999.0}, {"uninstalled": True}])
def test_an_agent_that_goes_by_itself_leaves_the_shared_port_to_nobody(fields: dict[str, Any]) -> None:
    """Its Clients may still be at it; only an operator's command may hand them over."""
    registered = Registered("a", "b")
    registered.agent("a", **fields)
    assert refused(registered, access())[0] == "ambiguous"


def test_a_scan_of_an_agent_that_was_revoked_keeps_the_shared_port_from_another() -> None:
    registered = Registered("a", "b")
    registered.agent("a", revoked=True)
    registered.scan("s1", "a")
    assert refused(registered, access())[0] == "revoked-scan"
    registered.end_scan("s1")
    assert refused(registered, access(), scanned=lambda: ["a"])[0] == "revoked-scan"
    assert isinstance(standing(registered, access()), Grant)


class LookedThrough(dict[str, Any]):
    """Counts who goes through all of it."""

    times = 0

    def items(self) -> Any:
        self.times += 1
        return super().items()

    def values(self) -> Any:
        self.times += 1
        return super().values()


@pytest.mark.parametrize("by", [access(), access(agent="a"), access(agent="a", scan="s1")])
def test_an_open_costs_the_same_however_many_agents_and_scans_there_are(registered: Registered, by: Access) -> None:
    registered.agent("b", revoked=True)
    before = registered.snapshot
    tables = [LookedThrough(table) for table in (before.agents, before.keys, before.scans, before.clients)]
    registered.snapshot = Snapshot(*tables)
    accounts = registered.accounts()
    for _ in range(100):
        assert isinstance(accounts.standing(by), Grant)
    assert all(table.times <= 1 for table in tables)


def test_required_authentication_holds_on_every_port(registered: Registered) -> None:
    for template in (access(), access(agent="a"), access(agent="a", scan="s1")):
        assert refused(registered, template, required=True) == ("login", Reply.NOT_ALLOWED)


def test_nothing_is_registered() -> None:
    assert refused(Registered(), access()) == ("unregistered", Reply.GENERAL_FAILURE)


def test_a_scan_says_how_long_and_how_narrow(registered: Registered) -> None:
    registered.scan("s1", "a", allow=("10.0.0.0/8",), connect_timeout=3.0, hold=0.0)
    registered.client("alice", "a", allow=("10.1.0.0/16", "192.0.2.0/24"))
    alone = standing(registered, access(agent="a", scan="s1"))
    assert alone == Grant("a", None, "s1", ("10.0.0.0/8",), 3.0, 0.0)
    logged_in = login(registered, "alice@a", "alice-token", access(agent="a", scan="s1"))
    assert logged_in is not None
    assert standing(registered, logged_in) == Grant("a", "alice", "s1", ("10.1.0.0/16",), 3.0, 0.0)


def test_narrowings_that_leave_nothing_are_no_grant_rather_than_no_narrowing(registered: Registered) -> None:
    registered.scan("s1", "a", allow=("10.0.0.0/8",))
    registered.client("alice", "a", allow=("192.0.2.0/24",))
    logged_in = login(registered, "alice@a", "alice-token", access(agent="a", scan="s1"))
    assert logged_in is not None
    assert refused(registered, logged_in) == ("narrowed", Reply.NOT_ALLOWED)


def test_more_networks_than_a_request_holds_are_no_grant(registered: Registered) -> None:
    many = tuple(f"10.{i // 2}.{i % 2 * 2}.0/24" for i in range(limits.NARROWING_NETWORKS + 1))
    registered.scan("s1", "a", allow=many)
    assert refused(registered, access(agent="a", scan="s1")) == ("narrowed", Reply.NOT_ALLOWED)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ((), (), ()),
        (("10.0.0.0/8",), (), ("10.0.0.0/8",)),
        ((), ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (("10.0.0.0/8",), ("10.1.0.0/16", "fd00::/8"), ("10.1.0.0/16",)),
        (("10.1.0.0/16", "fd00::/8"), ("10.0.0.0/8", "fd00:1::/32"), ("10.1.0.0/16", "fd00:1::/32")),
        (("10.0.0.0/8",), ("11.0.0.0/8",), None),
        (("0.0.0.0/0",), ("::/0",), None),
    ],
)
def test_intersected(first: tuple[str, ...], second: tuple[str, ...], both: tuple[str, ...] | None) -> None:
    assert intersected(first, second) == both


# -- an optional login -------------------------------------------------------------------------------------------------


def test_an_empty_password_is_no_login_where_none_is_required() -> None:
    """Java offers a user name wherever a server takes one: its system's user, with an empty password."""
    accounts: Accounts = Registered("a").accounts()
    for user in (b"jane", b"", b"a"):
        assert accounts.login(user, b"", access()) == access()


@pytest.mark.parametrize(("user", "template"), [("b", access(agent="a")), ("alice@a", access()), ("b", access())])
def test_a_user_name_without_a_password_that_asks_for_another_agent_is_wrong(user: str, template: Access) -> None:
    """It must not land in a network that it did not ask for."""
    registered = Registered("a", "b")
    assert registered.accounts().login(user.encode(), b"", template) is None


def test_a_wrong_password_is_wrong_where_none_is_required(registered: Registered) -> None:
    assert registered.accounts().login(b"a", b"wrong", access(agent="a")) is None
