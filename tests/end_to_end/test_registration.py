"""``This agent is not registered``: after a newer copy, after a revoke, and for a key that was never known."""

import signal
from pathlib import Path

from socksfusion.exit_codes import ExitCode
from socksfusion.identity.copy import AgentCopy
from socksfusion.identity.state import StateFolder
from tests.end_to_end.admin import show, wait_shown
from tests.end_to_end.lines import CONNECTING, ESTABLISHED, NOT_REGISTERED, messages, wait_for
from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect, was_reset
from tests.end_to_end.programs import Installation


def test_newer_copy_takes_over_when_it_is_verified(installed: Installation) -> None:
    """Not when it is made: the older one serves until then, reads the message, and ends with a code of its own."""
    copy = installed.add_agent("demo")
    installed.start_proxy()
    older = installed.start_agent(copy)
    newer_copy = installed.folder / "newer.agent"
    renewed = ("agent", "renew", "demo", "--proxy", f"localhost:{installed.agents_port}", "--out", str(newer_copy))
    installed.admin(*renewed)
    assert [key["state"] for key in show(installed, "demo")["keys"]] == ["active", "pending"]

    with Target(echo) as target, socks_connect(installed.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"still the older one")
        assert receive_exactly(client, 19) == b"still the older one"
        newer = installed.start_agent(newer_copy)
        assert was_reset(client)
        with socks_connect(installed.clients_port, "127.0.0.1", target.port) as by_newer:
            by_newer.sendall(b"now the newer one")
            assert receive_exactly(by_newer, 17) == b"now the newer one"
    assert older.wait_exit() == ExitCode.REPLACED
    assert messages(older)[-1] == NOT_REGISTERED
    why = "socksfusion-agent: a newer copy of this agent was verified: run that one, and delete this"
    assert older.log.count(why) == 1
    assert NOT_REGISTERED not in messages(newer)
    shown = wait_shown(installed, "demo", connected=True)
    assert [key["state"] for key in shown["keys"]] == ["retired", "active"]

    again = installed.start_agent(copy, serving=False)
    assert again.wait_exit() == ExitCode.REPLACED
    assert messages(again) == [CONNECTING, ESTABLISHED, NOT_REGISTERED]
    wait_shown(installed, "demo", connected=True)


def test_revoked_one_tries_again_until_it_is_restored(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.start_proxy()
    agent = installed.start_agent(copy, "--unregistered-retry", "0.5")
    installed.admin("agent", "revoke", "demo")
    wait_for(agent, NOT_REGISTERED, 3)
    assert messages(agent)[:9] == [CONNECTING, ESTABLISHED, NOT_REGISTERED] * 3

    log = len(agent.log)
    installed.admin("agent", "restore", "demo")
    agent.wait_log("serving as agent demo", since=log)
    assert agent.stop() == -signal.SIGTERM


def test_end_instead_of_trying_again(installed: Installation) -> None:
    copy = installed.add_agent("demo")
    installed.admin("agent", "revoke", "demo")
    installed.start_proxy()
    agent = installed.start_agent(copy, "--exit-if-unregistered", serving=False)
    assert agent.wait_exit() == ExitCode.NOT_REGISTERED
    assert messages(agent) == [CONNECTING, ESTABLISHED, NOT_REGISTERED]
    assert agent.log.count("socksfusion-agent: this agent is not registered: ask the Proxy's operator") == 1


def test_key_that_the_registry_never_knew(installed: Installation) -> None:
    """The certificate is the CA's own, under a registered agent's name: the key decides, not the name."""
    installed.add_agent("demo")
    proxy = installed.start_proxy()
    stranger = minted(installed, "demo")
    agent = installed.start_agent(stranger, "--exit-if-unregistered", serving=False)
    assert agent.wait_exit() == ExitCode.NOT_REGISTERED
    assert messages(agent) == [CONNECTING, ESTABLISHED, NOT_REGISTERED]
    proxy.wait_log("refused rule=agent-unknown peer=127.0.0.1:")


def minted(installed: Installation, name: str) -> Path:
    """A copy by the installation's CA that stands in no registry."""
    state = StateFolder(installed.state)
    issued = state.authority().issue_agent(name)
    path = installed.folder / "minted.agent"
    address = f"localhost:{installed.agents_port}"
    AgentCopy(name, address, state.ca_pem(), issued.certificate_pem, issued.key_pem).save(path)
    return path
