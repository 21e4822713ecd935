"""Networks as an admin or operator writes them."""

import tracemalloc
from ipaddress import ip_address

import pytest

from socksfusion import limits
from socksfusion.networks import hold, parse_network, parse_networks


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
    ],
)
def test_cidr_or_one_address(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "^: not a network such as"),
        ("localhost", "^localhost: not a network such as"),
        ("127.1", "not a network such as"),
        ("10.0.0.0/33", "not a network such as"),
        ("fe80::1%lo", "not a network such as|interface"),
        ("10.0.0.1/8", r"did you mean 10\.0\.0\.0/8\?"),
        ("bad\x1b[2J", r"bad\\x1b\[2J: not a network"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_network(text)
    with pytest.raises(ValueError, match=told):
        parse_networks(("10.0.0.0/8", text))


def test_one_network_of_several_is_enough() -> None:
    networks = parse_networks(("10.0.0.0/8", "2001:db8::/32"))
    assert hold(networks, ip_address("10.1.2.3"))
    assert hold(networks, ip_address("2001:db8::1"))
    assert not hold(networks, ip_address("11.0.0.1"))
    assert not hold((), ip_address("10.1.2.3"))


def test_j2_what_is_remembered_of_a_hostile_proxys_lists_is_bounded() -> None:
    parse_networks.cache_clear()
    tracemalloc.start()
    try:
        for number in range(3 * limits.NARROWINGS_REMEMBERED):
            parse_networks(tuple(f"10.{number}.{low}.0" for low in range(limits.NARROWING_NETWORKS)))
        assert tracemalloc.get_traced_memory()[0] < 16 * limits.MIB
    finally:
        tracemalloc.stop()
        parse_networks.cache_clear()
