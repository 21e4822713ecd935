"""The Agent's messages while all goes well: word for word, with their time, each at once."""

import signal
from datetime import UTC, datetime, timedelta

from tests.end_to_end.lines import CONNECTING, ESTABLISHED, RUNNING, messages, told, wait_for
from tests.end_to_end.programs import Installation


def test_connecting_and_established(installed: Installation) -> None:
    """Before there is a Proxy it says that it tries; once there is one, that the connection stands."""
    copy = installed.add_agent("demo")
    agent = installed.start_agent(copy, "--reconnect-first", "0.2", serving=False)
    wait_for(agent, CONNECTING)
    agent.wait_log("refused the connection: is the Proxy running, and is the port right?")
    assert set(messages(agent)) == {CONNECTING}

    installed.start_proxy()
    agent.wait_log("serving as agent demo")
    assert messages(agent)[-2:] == [CONNECTING, ESTABLISHED]
    assert messages(agent).count(ESTABLISHED) == 1


def test_time_is_the_local_one_with_its_offset(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    before = datetime.now(UTC).replace(microsecond=0)
    agent = installed.start("socksfusion-agent", "--copy", str(copy), TZ="Asia/Kathmandu")
    wait_for(agent, ESTABLISHED)
    for at, _ in told(agent):
        assert at.utcoffset() == timedelta(hours=5, minutes=45)
        assert before <= at <= datetime.now(UTC) + timedelta(seconds=1)


def test_heartbeat(installed: Installation) -> None:
    """``Running`` comes from the Proxy at the interval that it was told."""
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy("--heartbeat", "1")
    agent = installed.start_agent(copy)
    wait_for(agent, RUNNING, 3)
    times = [at for at, message in told(agent) if message == RUNNING]
    assert timedelta(seconds=1.9) < times[2] - times[0] < timedelta(seconds=10)
    assert messages(agent)[:2] == [CONNECTING, ESTABLISHED]

    proxy.signal(signal.SIGSTOP)  # a Proxy that hangs sends none
    before = messages(agent).count(RUNNING)
    agent.signal(signal.SIGTERM)
    assert agent.wait_exit() == -signal.SIGTERM
    assert messages(agent).count(RUNNING) <= before + 1


def test_lost_proxy_is_dialled_again(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    proxy = installed.start_proxy()
    agent = installed.start_agent(copy, "--reconnect-first", "0.2")
    proxy.kill()
    agent.wait_log("the connection to localhost")
    wait_for(agent, CONNECTING, 2)
    installed.start_proxy()
    wait_for(agent, ESTABLISHED, 2)
