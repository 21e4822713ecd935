"""One call: what is said on the control stream, in its order and out of it."""

import pytest

from socksfusion.wire.control_messages import PROTOCOL, Hello, Refused, Running, ScanFinished, ScanStarted
from socksfusion.wire.messages import Unsupported
from tests.agent.fake_proxy import World

pytestmark = pytest.mark.usefixtures("no_failures")


def called(**world: object) -> World:
    made = World(**world)  # type: ignore[arg-type]
    made.connector.startService()
    return made


def test_hello_is_answered_by_hello() -> None:
    world = called()
    side = world.accept()
    (hello,) = side.received
    assert isinstance(hello, Hello)
    assert (hello.protocol, hello.features) == (PROTOCOL, ["udp", "narrow"])
    assert hello.program_id == world.calls.program_id
    assert world.lines == ["Connecting to server...", "Connection established"]


def test_nothing_is_said_before_the_proxys_hello() -> None:
    world = called()
    side = world.accept(protocol=None)
    assert side.received == []
    assert world.lines == ["Connecting to server..."]
    side.say_hello()
    world.pump()
    assert len(side.received) == 1
    assert world.lines[1:] == ["Connection established"]


def test_a_second_hello_or_welcome_changes_nothing() -> None:
    world = called()
    side = world.serve()
    side.say_hello()
    side.welcome()
    world.pump()
    assert len(side.received) == 1
    assert world.lines.count("Connection established") == 1


def test_a_proxy_of_another_version_is_left_with_advice() -> None:
    world = called()
    side = world.accept(protocol=PROTOCOL + 1)
    side.welcome()
    world.pump()
    assert side.lost_why is not None
    assert side.received == []
    assert world.connector.call is None


def test_running_is_written_each_time() -> None:
    world = called()
    side = world.serve()
    side.control.send(Running())
    side.control.send(Running())
    world.pump()
    assert world.lines[2:] == ["Running", "Running"]


def test_scans_are_told_to_the_caller() -> None:
    world = called()
    side = world.serve()
    for message in (ScanStarted(scan="1"), ScanStarted(scan="1"), ScanFinished(scan="1"), ScanStarted(scan="2")):
        side.control.send(message)
    world.pump()
    assert world.lines[2:] == ["Scan is started", "Scan is started"]


def test_j2_a_refusal_counts_once_however_often_it_is_said() -> None:
    world = called()
    side = world.serve()
    for _ in range(1000):
        side.control.send(Refused(reason="duplicate", detail="no"))
    world.pump()
    assert world.lines[2:] == ["Another agent already connected"]


def test_the_first_stream_is_the_control_stream_the_others_are_clients() -> None:
    world = called()
    side = world.serve()
    client = side.open()
    client.transport.write(b"connect")
    world.pump()
    assert [target.data for target in world.targets] == [b"connect"]


def test_an_unknown_message_is_answered_unsupported() -> None:
    world = called()
    side = world.serve()
    side.control.transport.write(b"\x00\x0b\x81\xa4type\xa4moon")
    side.control.send(Running())
    world.pump()
    assert side.received[1:] == [Unsupported(what="moon")]
    assert world.lines[2:] == ["Running"]


@pytest.mark.parametrize("record", [b"\xff\xff", b"\x00\x01\xc1"])
def test_what_is_no_record_ends_the_call(record: bytes) -> None:
    world = called()
    side = world.serve()
    side.control.transport.write(record)
    world.pass_time(2)
    assert side.lost_why == "the other end went away with code 1"


def test_the_end_of_the_control_stream_ends_the_call() -> None:
    world = called()
    side = world.serve()
    side.control.transport.loseConnection()
    world.pump()
    assert side.lost_why is not None
    assert world.connector.call is None
