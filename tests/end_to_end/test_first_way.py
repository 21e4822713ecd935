"""The first way: a Client's bytes through Proxy and Agent to a Target and back."""

from tests.end_to_end.network import Target, echo, receive_exactly, socks_connect
from tests.end_to_end.programs import Installation


def test_bytes_pass_both_ways(serving: Installation) -> None:
    with Target(echo) as target, socks_connect(serving.clients_port, "127.0.0.1", target.port) as client:
        client.sendall(b"through the firewall")
        assert receive_exactly(client, 20) == b"through the firewall"
