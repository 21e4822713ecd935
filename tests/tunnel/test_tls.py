"""TLS over memory BIOs: any split, and what came before a failure is not lost."""

from typing import Any

import pytest

from socksfusion.tunnel.tls import TLSFailed, TLSMachine
from tests.tunnel.certificates import HOST, agent_side, proxy_side

RECORD = 16 * 1024


def machines(client: Any = None, server: Any = None) -> tuple[TLSMachine, TLSMachine]:
    return (
        TLSMachine(client or agent_side(), server=False, server_name=HOST),
        TLSMachine(server or proxy_side(), server=True),
    )


def shake(client: TLSMachine, server: TLSMachine) -> None:
    for _ in range(4):
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())


def connected() -> tuple[TLSMachine, TLSMachine]:
    client, server = machines()
    shake(client, server)
    assert client.handshaken
    assert server.handshaken
    return client, server


def flights() -> list[int]:
    """The lengths of the client's two and the server's one flight, about: signatures differ by a byte or two."""
    client, server = machines()
    first = client.data_to_send()
    server.receive_data(first)
    second = server.data_to_send()
    client.receive_data(second)
    return [len(first), len(second), len(client.data_to_send())]


@pytest.mark.parametrize("flight", [0, 1, 2])
def test_the_handshake_split_at_every_byte(flight: int) -> None:
    for cut in range(1, flights()[flight], 7):
        client, server = machines()
        way = [(client, server), (server, client), (client, server)]
        for number, (source, target) in enumerate(way):
            data = source.data_to_send()
            at = cut if number == flight else 0
            assert target.receive_data(data[:at]) == []
            assert target.receive_data(data[at:]) == []
        assert client.handshaken
        assert server.handshaken


def test_the_handshake_byte_by_byte() -> None:
    client, server = machines()
    for source, target in [(client, server), (server, client), (client, server), (server, client)]:
        for byte in source.data_to_send():
            assert target.receive_data(bytes([byte])) == []
    assert client.handshaken
    assert server.handshaken
    client.send(b"data")
    assert server.receive_data(client.data_to_send()) == [b"data"]


def test_application_data_behind_the_finished_is_not_lost() -> None:
    client, server = machines()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    finished = client.data_to_send()
    client.send(b"early")
    assert server.receive_data(finished + client.data_to_send()) == [b"early"]


@pytest.mark.parametrize("size", [1, RECORD, RECORD + 1, 256 * 1024, 1_000_003])
def test_one_send_makes_whole_records_and_one_read_takes_them(size: int) -> None:
    client, server = connected()
    plaintext = bytes(index & 0xFF for index in range(size))
    client.send(plaintext)
    ciphertext = client.data_to_send()
    assert client.data_to_send() == b""
    pieces = server.receive_data(ciphertext)
    assert b"".join(pieces) == plaintext
    assert len(pieces) == -(-size // RECORD)


def test_a_good_record_before_a_bad_one_is_not_lost() -> None:
    client, server = connected()
    client.send(b"good")
    good = client.data_to_send()
    client.send(b"bad")
    bad = bytearray(client.data_to_send())
    bad[-1] ^= 1
    assert server.receive_data(good + bytes(bad)) == [b"good"]
    assert server.failure is not None
    assert not server.close_received
    assert client.receive_data(server.data_to_send()) == []
    assert client.failure is not None
    assert "alert" in str(client.failure)
    assert server.receive_data(b"more") == []


def test_close_notify_is_told_after_the_data() -> None:
    client, server = connected()
    client.send(b"last")
    client.close()
    assert server.receive_data(client.data_to_send()) == [b"last"]
    assert server.close_received
    assert server.failure is None


def test_close_twice_or_too_early_is_harmless() -> None:
    client, server = machines()
    client.close()
    shake(client, server)
    client.close()
    client.close()
    server.receive_data(client.data_to_send())
    assert server.close_received


def test_garbage_fails_with_openssls_reason_and_an_alert() -> None:
    _, server = machines()
    assert server.receive_data(b"GET / HTTP/1.1\r\n\r\n" * 3) == []
    assert isinstance(server.failure, TLSFailed)
    assert server.failure.reasons == ("http request",)
    server.close()


def test_a_wrong_ca_is_told_to_the_other_side() -> None:
    client, server = machines(client=agent_side(trusts=1))
    shake(client, server)
    assert client.failure is not None
    assert any("certificate verify failed" in reason for reason in client.failure.reasons)
    assert server.failure is not None
    assert any("unknown ca" in reason for reason in server.failure.reasons)


def test_a_stranger_hears_why_after_its_own_handshake_was_over() -> None:
    """In TLS 1.3 the client is done before its certificate is judged."""
    client, server = machines(client=agent_side(number=1, trusts=0))
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    assert client.handshaken
    server.receive_data(client.data_to_send())
    assert server.failure is not None
    assert not server.handshaken
    client.receive_data(server.data_to_send())
    assert client.failure is not None
    assert any("alert" in reason for reason in client.failure.reasons)
