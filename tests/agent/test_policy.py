"""The Agent's policy: guarded ranges in every spelling (attacks.md, row C4) and what --allow opens."""

import errno
import socket
from ipaddress import ip_address

import pytest

from socksfusion.agent.guarded import literal, owns_address
from socksfusion.agent.names import look_up
from socksfusion.agent.policy import Agreed, Policy, narrowing
from socksfusion.agent.rules import Rules, allow_list, parse_rule, plain_name
from socksfusion.networks import Address, parse_networks


def nothing_is_own(_address: Address) -> bool:
    return False


def allowing(*networks: str, owns: object = nothing_is_own) -> Policy:
    return Policy(allow_list(parse_networks(networks)), owns=owns)  # type: ignore[arg-type]


def ruled(*lines: str, scope: tuple[str, ...] = (), owns: object = nothing_is_own) -> Policy:
    rules = tuple(parse_rule(line, f"line {number}") for number, line in enumerate(lines, 1))
    return Policy(Rules(rules, "no rule"), Agreed(parse_networks(scope)), owns=owns)  # type: ignore[arg-type]


LITERALS = {
    "127.0.0.1": "own host",
    "127.0.0.2": "own host",
    "127.1.2.3": "own host",
    "127.255.255.255": "own host",
    "::1": "own host",
    "0:0:0:0:0:0:0:1": "own host",
    "0000:0000:0000:0000:0000:0000:0000:0001": "own host",
    "::0001": "own host",
    "::1%lo": "own host",
    "::1%1": "own host",
    "::ffff:127.0.0.1": "own host",
    "::ffff:7f00:1": "own host",
    "::FFFF:127.0.0.1": "own host",
    "0:0:0:0:0:ffff:7f00:0001": "own host",
    "::ffff:127.0.0.1%lo": "own host",
    "::ffff:0:127.0.0.1": "own host",
    "::127.0.0.1": "own host",
    "::7f00:1": "own host",
    "2002:7f00:1::": "own host",
    "2002:7f00:0001::1": "own host",
    "2002:7fff:ffff:1:2:3:4:5": "own host",
    "64:ff9b::127.0.0.1": "own host",
    "64:ff9b::7f00:1": "own host",
    "64:ff9b:1::127.0.0.1": "own host",
    "2001:0:7f00:1::": "own host",
    # the client of a Teredo address stands inverted in its last 32 bits (RFC 4380, section 4): 127.0.0.1
    "2001:0:808:808:0:0:80ff:fffe": "own host",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "::0": "unspecified",
    "0:0:0:0:0:0:0:0": "unspecified",
    "::ffff:0.0.0.0": "unspecified",
    "::ffff:0:0": "unspecified",
    "64:ff9b::": "unspecified",
    "2002::": "unspecified",
    "169.254.169.254": "link-local",
    "169.254.0.1": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:a9fe:a9fe": "link-local",
    "64:ff9b::a9fe:a9fe": "link-local",
    "2002:a9fe:a9fe::": "link-local",
    "::169.254.169.254": "link-local",
    "fe80::1": "link-local",
    "fe80::1%lo": "link-local",
    "fe80::a9fe:a9fe%eth0": "link-local",
    "febf:ffff::1": "link-local",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "ff02::1%lo": "multicast",
    "ff0e::1": "multicast",
    "::ffff:224.0.0.251": "multicast",
    "255.255.255.255": "broadcast",
    "::ffff:255.255.255.255": "broadcast",
    "fd00:ec2::254": "cloud metadata",
    "100.100.100.200": "cloud metadata",
}
NUMERIC_NAMES = [
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "017700000001",
    "2130706433",
    "127.0x0.0x0.0x1",
    "0",
    "00",
    "0.0",
    "0x0",
    "0x0.0x0.0x0.0x0",
    "4294967295",
    "037777777777",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "3758096385",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
]


@pytest.mark.parametrize(("address", "rule"), LITERALS.items())
def test_c4_a_guarded_literal_is_denied_in_every_spelling(address: str, rule: str) -> None:
    decision = Policy(owns=nothing_is_own).check(address, 80)
    assert not decision.allowed
    assert decision.rule == rule


@pytest.mark.parametrize("name", NUMERIC_NAMES)
def test_c4_a_name_that_looks_like_a_number_is_judged_by_what_the_resolver_makes_of_it(name: str) -> None:
    assert literal(name) is None, "no literal by our own parser, so the resolver's reading is the only one"
    for address in look_up(name):
        assert not Policy(owns=nothing_is_own).check(address, 80).allowed


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd00::1"])
def test_the_networks_behind_the_agent_are_allowed(address: str) -> None:
    decision = Policy(owns=nothing_is_own).check(address, 80)
    assert decision.allowed
    assert decision.address == address


@pytest.mark.parametrize("address", ["2002:0a00:1::1", "64:ff9b::10.0.0.1", "2001:db8::127.0.0.1"])
def test_an_embedded_address_that_is_not_guarded_is_no_reason(address: str) -> None:
    assert Policy(owns=nothing_is_own).check(address, 80).allowed


def test_a_mapped_address_is_dialled_as_the_address_that_it_means() -> None:
    assert Policy(owns=nothing_is_own).check("::ffff:10.0.0.1", 80).address == "10.0.0.1"


def test_an_address_that_the_machine_has_is_its_own_host_in_every_form() -> None:
    own = ip_address("10.0.0.5")
    guard = Policy(owns=lambda address: address == own)
    for address in ("10.0.0.5", "::ffff:10.0.0.5", "2002:a00:5::1", "64:ff9b::10.0.0.5"):
        assert guard.check(address, 80).rule == "own host"
    assert guard.check("10.0.0.6", 80).allowed


def test_what_is_no_literal_is_no_question() -> None:
    with pytest.raises(ValueError, match="localhost"):
        Policy().check("localhost", 80)


def test_allow_is_the_whole_list() -> None:
    listed = allowing("10.0.0.0/8", "2001:db8::/32")
    assert listed.check("10.1.2.3", 80).allowed
    assert listed.check("10.1.2.3", 80).rule == "10.0.0.0/8"
    assert listed.check("::ffff:10.1.2.3", 80).allowed
    assert listed.check("2001:db8::1", 80).allowed
    for address in ("192.168.0.1", "2001:db9::1"):
        assert listed.check(address, 80).rule == "not in --allow"
    assert listed.check("127.0.0.1", 80).rule == "own host"


def test_an_empty_list_allows_nothing() -> None:
    assert not allowing().check("10.0.0.1", 80).allowed


@pytest.mark.parametrize(
    ("rule", "address"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.0/30", "::ffff:127.0.0.1"),
        ("::1", "::1"),
        ("::1/128", "::1%lo"),
        ("::ffff:127.0.0.0/104", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("fe80::/10", "fe80::1%lo"),
        ("224.0.0.0/4", "224.0.0.1"),
        ("0.0.0.0/8", "0.0.0.0"),
        ("100.100.100.200/32", "100.100.100.200"),
    ],
)
def test_a_rule_wholly_inside_a_guarded_range_opens_it(rule: str, address: str) -> None:
    assert allowing(rule).check(address, 80).allowed


@pytest.mark.parametrize(
    ("rule", "address"),
    [
        ("0.0.0.0/0", "127.0.0.1"),
        ("126.0.0.0/7", "127.0.0.1"),
        ("0.0.0.0/0", "169.254.169.254"),
        ("::/0", "::1"),
        ("::/0", "fe80::1%lo"),
        ("::/0", "64:ff9b::127.0.0.1"),
        ("64:ff9b::/96", "64:ff9b::127.0.0.1"),
        ("2002::/16", "2002:7f00:1::"),
        ("fe00::/8", "fe80::1"),
        ("192.0.0.0/2", "224.0.0.1"),
    ],
)
def test_a_rule_that_is_wider_does_not(rule: str, address: str) -> None:
    decision = allowing(rule).check(address, 80)
    assert not decision.allowed
    assert decision.rule != "not in --allow"


def test_an_address_of_the_machine_is_opened_by_itself_only() -> None:
    own = ip_address("192.168.1.5")
    assert not allowing("192.168.1.0/24", owns=own.__eq__).check("192.168.1.5", 80).allowed
    assert allowing("192.168.1.0/24", owns=own.__eq__).check("192.168.1.6", 80).allowed
    assert allowing("192.168.1.0/24", "192.168.1.5", owns=own.__eq__).check("192.168.1.5", 80).allowed


def test_of_several_rules_the_first_that_fits_decides() -> None:
    policy = ruled("deny 10.5.0.0/16", "allow 10.0.0.0/8 port 22, 8000-8100", "deny 10.6.0.1", "allow 10.6.0.0/16")
    asked = [
        ("10.5.0.1", 22),
        ("10.4.0.1", 22),
        ("10.4.0.1", 8100),
        ("10.4.0.1", 8101),
        ("10.6.0.1", 22),
        ("10.6.0.1", 1),
    ]
    decisions = [policy.check(address, port) for address, port in asked]
    assert [decision.rule for decision in decisions] == ["line 1", "line 2", "line 2", "no rule", "line 2", "line 3"]
    assert [decision.allowed for decision in decisions] == [False, True, True, False, True, False]
    assert decisions[0].text == "deny 10.5.0.0/16"
    assert policy.check("10.6.0.2", 1).rule == "line 4"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("git.example", ["git.example", "GIT.example", "git.example."]),
        ("Git.Example.", ["git.example"]),
        ("*.example", ["git.example", "a.b.example"]),
        ("db*.example", ["db.example", "db7.example", "db.x.example"]),
        ("xn--bcher-kva.example", ["b\u00fccher.example", "B\u00dcCHER.example"]),
    ],
)
def test_a_rule_by_name_looks_at_what_was_asked(pattern: str, names: list[str]) -> None:
    policy = ruled(f"allow {pattern} port 443")
    for name in names:
        assert policy.check("10.0.0.1", 443, name=plain_name(name)).allowed, name
        assert not policy.check("10.0.0.1", 80, name=plain_name(name)).allowed, name
    for name in ("", "example", "git.example.org", "git-example", "gitxexample", "10.0.0.1", "ab.git.example.evil"):
        assert not policy.check("10.0.0.1", 443, name=plain_name(name)).allowed, name


def test_a_name_may_be_bound_to_a_network() -> None:
    policy = ruled("allow db.example in 10.0.0.0/8")
    assert policy.check("10.0.0.1", 80, name="db.example").allowed
    assert not policy.check("192.168.0.1", 80, name="db.example").allowed
    assert not policy.check("10.0.0.1", 80, name="other.example").allowed


def test_c5_a_name_opens_no_guarded_range_but_within_one() -> None:
    by_name = ruled("allow rebind.example", "allow any")
    assert by_name.check("127.0.0.1", 80, name="rebind.example").rule == "own host"
    within = ruled("allow local.example in 127.0.0.0/8 port 80")
    assert within.check("127.0.0.1", 80, name="local.example").allowed
    assert within.check("127.0.0.1", 81, name="local.example").rule == "own host"
    assert within.check("127.0.0.1", 80, name="other.example").rule == "own host"


def test_a_hostile_name_takes_no_time() -> None:
    policy = ruled("allow " + "*a" * 100 + "b")
    assert not policy.check("10.0.0.1", 80, name="a" * 253).allowed


@pytest.mark.parametrize(
    "address", ["10.5.0.1", "::ffff:10.5.0.1", "64:ff9b::10.5.0.1", "2002:0a05:1::1", "::10.5.0.1"]
)
def test_c4_what_is_denied_is_denied_in_every_spelling(address: str) -> None:
    assert ruled("deny 10.5.0.0/16", "allow any").check(address, 80).rule == "line 1"


def test_what_is_allowed_is_not_so_in_every_spelling() -> None:
    assert not ruled("allow 10.5.0.0/16").check("2002:0a05:1::1", 80).allowed


def test_a_guarded_range_is_opened_at_the_rules_ports_and_closed_by_a_denial_before() -> None:
    policy = ruled("deny 127.0.0.5", "allow any", "allow 127.0.0.0/8 port 8080")
    assert policy.check("127.0.0.1", 8080).rule == "line 3"
    assert policy.check("127.0.0.1", 8080).allowed
    assert policy.check("127.0.0.1", 22).rule == "own host"
    assert policy.check("127.0.0.5", 8080).rule == "line 1"
    assert not ruled("allow any").check("169.254.169.254", 80).allowed


def test_a_single_address_opens_one_that_the_machine_has_only_where_it_is_reached() -> None:
    own = ip_address("192.168.1.5")
    policy = ruled("allow 192.168.1.0/24", "allow 192.168.1.5 port 443", owns=own.__eq__)
    assert policy.check("192.168.1.5", 443).allowed
    assert policy.check("192.168.1.5", 80).rule == "own host"
    assert policy.check("192.168.1.6", 80).allowed


def test_the_scope_is_the_outer_border() -> None:
    policy = ruled("allow any", "allow 127.0.0.1", scope=("10.20.0.0/16", "2001:db8::/32"))
    assert policy.check("10.20.0.1", 80).allowed
    assert policy.check("::ffff:10.20.0.1", 80).allowed
    assert policy.check("2001:db8::1", 80).allowed
    for address in ("10.21.0.1", "127.0.0.1", "2001:db9::1"):
        assert policy.check(address, 80).rule == "outside the agreed scope"
    assert ruled("deny any", scope=("10.20.0.0/16",)).check("10.20.0.1", 80).rule == "line 1"


def test_a_scope_opens_no_guarded_range() -> None:
    policy = Policy(agreed=Agreed(parse_networks(("127.0.0.0/8", "169.254.169.254"))), owns=nothing_is_own)
    assert policy.check("127.0.0.1", 80).rule == "own host"
    assert policy.check("169.254.169.254", 80).rule == "link-local"


def test_what_was_agreed_ends() -> None:
    now = 99.0
    policy = Policy(agreed=Agreed(expires=100.0), owns=nothing_is_own, wall_clock=lambda: now)
    assert policy.check("10.0.0.1", 80).allowed
    now = 100.0
    assert policy.check("10.0.0.1", 80).rule == "the agreed time is over"


def test_a_request_narrows_and_never_widens() -> None:
    narrowed = narrowing(("10.1.0.0/16", "0.0.0.0/0", "127.0.0.1"))
    policy = ruled("allow 10.0.0.0/8", scope=("10.0.0.0/9",))
    assert policy.check("10.1.0.1", 80, narrowed=narrowed).allowed
    assert policy.check("10.200.0.1", 80, narrowed=narrowed).rule == "outside the agreed scope"
    assert policy.check("11.0.0.1", 80, narrowed=narrowed).rule == "outside the agreed scope"
    assert policy.check("127.0.0.1", 80, narrowed=narrowed).rule == "own host"
    assert policy.check("10.2.0.1", 80, narrowed=narrowing(("10.1.0.0/16",))).rule == "not for this client or scan"
    assert not policy.check("10.1.0.1", 80, narrowed=()).allowed
    assert narrowing(()) is None


def test_what_was_agreed_is_told_in_a_line() -> None:
    assert str(Agreed()) == "agreed scope: none, so the Agent's own rules alone decide"
    agreed = Agreed(parse_networks(("10.0.0.0/8", "192.0.2.7")), 1_796_000_000.0)
    assert str(agreed) == "agreed scope: 10.0.0.0/8, 192.0.2.7/32; until 2026-11-30T00:53:20Z"


def test_the_machine_has_its_loopback_addresses_and_no_documentation_address() -> None:
    assert owns_address(ip_address("127.0.0.1"))
    assert owns_address(ip_address("127.200.3.4"))
    # RFC 5737: nobody has it
    assert not owns_address(ip_address("203.0.113.77"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_where_binding_is_forbidden_the_source_address_tells(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Sandboxed(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(number, "forbidden")

    monkeypatch.setattr(socket, "socket", Sandboxed)
    assert owns_address(ip_address("127.0.0.1"))
    assert not owns_address(ip_address("203.0.113.77"))


def test_a_machine_without_ipv6_has_no_address_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class IPv4Alone(socket.socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "no such family")
            super().__init__(family, kind)

    monkeypatch.setattr(socket, "socket", IPv4Alone)
    policy = Policy()
    assert [policy.check(address, 80).allowed for address in ("2001:db8::7", "203.0.113.77")] == [True, True]
    assert not policy.check("::1", 80).allowed
    assert not policy.check("127.0.0.1", 80).allowed


def test_an_answer_that_cannot_be_had_is_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*_arguments: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", no_descriptor)
    with pytest.raises(OSError, match="too many"):
        Policy().check("10.0.0.1", 80)
