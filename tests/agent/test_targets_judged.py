"""A stream's way to its target, up to the dial: the name is resolved and its addresses are judged."""

import errno
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail

from socksfusion import limits
from socksfusion.agent.names import ResolverFailed
from socksfusion.agent.policy import Policy
from socksfusion.agent.rules import Rules, allow_list, parse_rule
from socksfusion.networks import parse_networks
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_agent import Agent, lose
from tests.agent.test_policy import LITERALS, NUMERIC_NAMES


def test_a_name_is_resolved_here_and_its_time_counts() -> None:
    agent = Agent()
    agent.resolver.pending = Deferred()
    agent.ask("db.example", timeout=8)
    assert agent.resolver.asked == [("db.example", limits.RESOLVER_SECONDS)]
    agent.reactor.advance(3)
    agent.resolver.pending.callback(["192.0.2.7"])
    assert agent.dialled == [("192.0.2.7", 80)]
    assert agent.limit(0) == 5


def test_a_look_up_gets_no_more_time_where_the_dial_does() -> None:
    agent = Agent()
    agent.ask("db.example", timeout=60)
    assert agent.resolver.asked == [("db.example", limits.RESOLVER_SECONDS)]


def test_a_short_limit_bounds_the_look_up_too() -> None:
    agent = Agent()
    agent.ask("db.example", timeout=2)
    assert agent.resolver.asked == [("db.example", 2)]


def test_an_unresolved_name_is_printed_as_asked() -> None:
    agent = Agent()
    stream = agent.ask("no\x1bwhere.example", 443)
    assert stream.reply().reply == Reply.HOST_UNREACHABLE
    assert agent.unreachable() == [r"Target is unreachable: no\x1bwhere.example:443" + "\n"]
    assert not agent.dialled


def test_a_look_up_that_could_not_be_tried_is_not() -> None:
    agent = Agent()
    agent.resolver.pending = fail(ResolverFailed("full"))
    assert agent.ask("db.example").reply().reply == Reply.GENERAL_FAILURE
    assert not agent.lines
    assert agent.refusals.counts["resolver"] == 1


def test_b4_reset_cancels_the_look_up() -> None:
    agent = Agent()
    cancelled: list[object] = []
    agent.resolver.pending = Deferred(cancelled.append)
    lose(agent.ask("db.example"))
    assert len(cancelled) == 1
    assert not agent.lines


def test_c4_f1_every_open_is_judged_and_none_that_is_guarded_is_dialled() -> None:
    agent = Agent()
    # the resolver's reading of such a name, by inet_aton (POSIX, inet_addr)
    agent.resolver.answers = {name: ["127.0.0.1"] for name in NUMERIC_NAMES}
    assert len(LITERALS) + len(NUMERIC_NAMES) >= 60
    for host in [*LITERALS, *NUMERIC_NAMES]:
        agent.ask()
        stream = agent.ask(host)
        assert stream.reply().reply == Reply.NOT_ALLOWED, host
        assert stream.disconnecting
    assert set(agent.hosts) == {"192.0.2.1"}
    assert not agent.lines, "a refusal is no target that failed"
    assert sum(agent.refusals.counts.values()) == len(LITERALS) + len(NUMERIC_NAMES)
    assert agent.refusals.counts["policy: own host"] > 0


def test_c5_denied_answers_are_dropped_and_nothing_is_looked_up_twice() -> None:
    agent = Agent()
    agent.resolver.answers["rebind.example"] = ["127.0.0.1", "192.0.2.7"]
    stream = agent.ask("rebind.example")
    assert agent.hosts == ["192.0.2.7"]
    agent.reactor.advance(1)
    assert agent.hosts == ["192.0.2.7"]
    agent.fail(0, errno.ECONNREFUSED)
    assert agent.hosts == ["192.0.2.7"]
    assert stream.reply().reply == Reply.REFUSED
    assert len(agent.resolver.asked) == 1
    assert agent.refusals.counts["policy: own host"] == 1


def test_c5_all_answers_denied() -> None:
    agent = Agent()
    agent.resolver.answers["rebind.example"] = ["127.0.0.1", "::1"]
    assert agent.ask("rebind.example").reply().reply == Reply.NOT_ALLOWED
    assert not agent.dialled


def test_an_answer_in_two_spellings_is_dialled_once() -> None:
    agent = Agent()
    agent.resolver.answers["db.example"] = ["::ffff:192.0.2.7", "192.0.2.7"]
    agent.ask("db.example")
    agent.reactor.advance(1)
    assert agent.hosts == ["192.0.2.7"]


def test_an_address_that_became_the_machine_s_own_while_its_dial_waited_is_denied() -> None:
    own: Sequence[str] = []
    agent = Agent(policy=Policy(owns=lambda address: str(address) in own), at_once=1)
    agent.ask()
    waits = agent.ask("192.0.2.5")
    own = ["192.0.2.5"]
    agent.accept(0)
    assert waits.reply().reply == Reply.NOT_ALLOWED
    assert agent.hosts == ["192.0.2.1"]
    assert agent.turns.taken == 0


def test_j3_where_the_policy_cannot_tell_nothing_is_dialled() -> None:
    def no_descriptor(_address: object) -> bool:
        raise OSError(errno.EMFILE, "too many open files")

    agent = Agent(policy=Policy(owns=no_descriptor))
    answer = agent.ask().reply()
    assert answer.reply == Reply.GENERAL_FAILURE
    assert "EMFILE" in answer.detail
    assert not agent.dialled


def test_rules_that_changed_while_a_dial_waited_count() -> None:
    policy = Policy(owns=lambda _: False)
    agent = Agent(policy=policy, at_once=1)
    agent.ask()
    waits = agent.ask("192.0.2.5")
    policy.rules = allow_list(parse_networks(("192.0.2.1",)))
    agent.accept(0)
    assert waits.reply().reply == Reply.NOT_ALLOWED
    assert agent.hosts == ["192.0.2.1"]


def test_a_name_is_judged_as_it_was_asked_and_a_request_narrows() -> None:
    rules = Rules((parse_rule("allow *.shop.example port 443", "policy line 1"),), "no rule of the policy")
    agent = Agent(policy=Policy(rules, owns=lambda _: False))
    agent.resolver.answers = {"DB.shop.example.": ["192.0.2.7", "192.0.2.8"], "other.example": ["192.0.2.7"]}
    assert agent.ask("192.0.2.7", 443).reply().reply == Reply.NOT_ALLOWED
    assert agent.ask("other.example", 443).reply().detail == "denied by the Agent's policy: no rule of the policy"
    assert agent.ask("DB.shop.example.", 80).reply().reply == Reply.NOT_ALLOWED
    assert agent.ask("DB.shop.example.", 443, allow=("10.0.0.0/8",)).reply().detail.endswith("this client or scan")
    agent.ask("DB.shop.example.", 443, allow=("10.0.0.0/8", "192.0.2.8/32"))
    assert agent.dialled == [("192.0.2.8", 443)]


def test_a_request_that_narrows_to_nonsense_is_not_tested() -> None:
    agent = Agent()
    answer = agent.ask(allow=("10.0.0.0/8", "everything")).reply()
    assert answer.reply == Reply.GENERAL_FAILURE
    assert not agent.dialled
    assert agent.refusals.counts["connect request"] == 1
