"""agent.outbound.no_proxy: suffixes, addresses, ranges, ports."""

import pytest

from socksfusion.agent.outbound.no_proxy import NoProxy


@pytest.mark.parametrize(
    ("text", "host", "port", "excepted"),
    [
        ("", "a.example", 443, False),
        (" , ,", "a.example", 443, False),
        ("*", "a.example", 443, True),
        ("*", "192.0.2.1", 443, True),
        ("example", "a.example", 443, True),
        (".example", "a.example", 443, True),
        ("*.example", "a.example", 443, True),
        (".example", "example", 443, True),
        ("example", "counterexample", 443, False),
        ("A.Example", "a.eXAMPLE", 443, True),
        ("b.example a.example", "a.example", 443, True),
        ("b.example,\ta.example", "a.example", 443, True),
        ("a.example:443", "a.example", 443, True),
        ("a.example:8443", "a.example", 443, False),
        ("*:8443", "a.example", 8443, True),
        ("*:8443", "a.example", 443, False),
        ("192.0.2.1", "192.0.2.1", 443, True),
        ("192.0.2.1", "192.0.2.10", 443, False),
        ("192.0.2.1:443", "192.0.2.1", 443, True),
        ("192.0.2.0/24", "192.0.2.10", 443, True),
        ("192.0.2.9/24", "192.0.2.10", 443, True),
        ("192.0.2.0/24:8443", "192.0.2.10", 443, False),
        ("192.0.2.0/24", "198.51.100.1", 443, False),
        ("2001:db8::/32", "2001:db8::1", 443, True),
        ("2001:db8::1", "2001:0db8::0001", 443, True),
        ("[2001:db8::1]", "2001:db8::1", 443, True),
        ("[2001:db8::1]:443", "2001:db8::1", 443, True),
        ("[2001:db8::1]:8443", "2001:db8::1", 443, False),
        ("10.0.0.0/8", "a.example", 443, False),
        ("2.1", "192.0.2.1", 443, False),
        ("nonsense/99", "192.0.2.1", 443, False),
        (".", "a.example", 443, False),
    ],
)
def test_exceptions(text: str, host: str, port: int, excepted: bool) -> None:
    assert NoProxy.parse(text).has(host, port) is excepted
