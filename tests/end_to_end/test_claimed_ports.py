"""The harness itself: a port that a test was given is nobody else's until its program listens there."""

import socket

import pytest

from tests.end_to_end.network import Target, echo, receive_exactly
from tests.end_to_end.programs import free_port


def test_a_port_is_given_once_and_refuses_until_somebody_listens() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("127.0.0.1", port))
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))
    with Target(echo, port=port), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"here")
        assert receive_exactly(client, 4) == b"here"


def test_an_earlier_port_is_not_given_again() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
