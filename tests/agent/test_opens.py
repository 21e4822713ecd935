"""What the admin's switch does to requests, at the Agent's own protocol."""

from twisted.internet.address import IPv4Address

from socksfusion.agent.opens import Opens
from socksfusion.audit import AuditEntry
from socksfusion.wire.messages import encode
from socksfusion.wire.requests import AssociateReply, AssociateRequest
from socksfusion.wire.socks5 import Reply
from tests.agent.fake_agent import Agent, lose


class Switch:
    paused = False


class Recorded(Agent):
    """An Agent with a switch and a record."""

    def __init__(self) -> None:
        super().__init__()
        self.switch = Switch()
        self.entries: list[AuditEntry] = []
        self.factory.opens = Opens(self.reactor.seconds, record=self.entries.append, switch=self.switch)


def test_while_paused_nothing_is_dialled_and_the_reply_says_why() -> None:
    agent = Recorded()
    agent.switch.paused = True
    stream = agent.ask()
    assert stream.reply().reply == Reply.NOT_ALLOWED
    assert stream.reply().detail == "the Agent is paused by its admin"
    assert not agent.dialled
    assert not agent.lines


def test_while_paused_there_are_no_associations() -> None:
    agent = Recorded()
    agent.switch.paused = True
    stream = agent.stream()
    stream.protocol.dataReceived(encode(AssociateRequest()))
    assert stream.head() == (AssociateReply(reply=2, detail="the Agent is paused by its admin"), b"")


def test_a_pause_answers_what_is_under_way_and_resets_what_is_open() -> None:
    agent = Recorded()
    joined, dialling, associated = agent.ask(port=1), agent.ask(port=2), agent.stream()
    agent.accept(0)
    associated.protocol.dataReceived(encode(AssociateRequest()))
    assert len(agent.factory.opens) == 3
    assert agent.factory.opens.cut_all() == 3
    assert joined.aborted
    assert associated.aborted
    assert dialling.reply().reply == Reply.NOT_ALLOWED
    assert agent.cancelled(1)


def test_what_stands_can_be_reset_alone() -> None:
    agent = Recorded()
    joined, dialling, refused, associated = agent.ask(port=1), agent.ask(port=2), agent.ask("127.0.0.1"), agent.stream()
    agent.accept(0)
    associated.protocol.dataReceived(encode(AssociateRequest()))
    assert agent.factory.opens.reset_standing() == 2
    assert (joined.aborted, associated.aborted) == (True, True)
    assert not dialling.aborted
    assert not agent.cancelled(1)
    assert refused.reply().reply == Reply.NOT_ALLOWED
    assert not refused.aborted
    for stream in (joined, associated):
        lose(stream)
    agent.accept(1)
    assert agent.factory.opens.reset_standing() == 1
    assert dialling.aborted


def test_an_entry_tells_a_connection_whole() -> None:
    agent = Recorded()
    stream = agent.ask("192.0.2.1", 8080, scan="s", client="c", id="i", after=b"early")
    stream.bytes_received = 100
    agent.accept(0, host=IPv4Address("TCP", "192.0.2.9", 50_001))
    stream.bytes_received = 142
    stream.write(b"answer")
    agent.reactor.advance(2.5)
    lose(stream)
    (entry,) = agent.entries
    assert (entry.id, entry.scan, entry.client, entry.host, entry.port) == ("i", "s", "c", "192.0.2.1", 8080)
    assert (entry.reply, entry.to_target, entry.to_client, entry.seconds) == (0, 47, 6, 2.5)
    assert len(agent.factory.opens) == 0


def test_who_leaves_before_the_answer_has_none() -> None:
    agent = Recorded()
    lose(agent.ask())
    (entry,) = agent.entries
    assert (entry.reply, entry.result, entry.to_target) == (None, "no answer", 0)
