"""Which addresses are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.fetching.addresses import is_public

LOCAL = (
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "100.127.255.255", "0.0.0.1"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("2001:db8::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::169.254.169.254", "64:ff9b:1::10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *(
        "2001:0:0:0:0:0:80ff:fffe",
        "2001:2::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "::ffff:168.63.129.16",
    ),
)
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "168.63.129.17", "192.0.1.1"),
    *("2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
)
NONE = (
    *("", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "1.1.1.1:80", "[::1]"),
    *("1.1.1.1 ", "http://1.1.1.1", "١.1.1.1"),
)


@pytest.mark.parametrize("text", LOCAL)
def test_what_lies_within_a_network_is_not_public(text: str) -> None:
    """Private, local, shared, special, a cloud's own, and each of them wrapped (rule: access)."""
    assert not is_public(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_lies_outside_is(text: str) -> None:
    """Next to a special network as well as far from it (rule: access)."""
    assert is_public(text)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address_is_not_public(text: str) -> None:
    """Other ways to write one are for the resolver to read (rule: access)."""
    assert not is_public(text)


@given(st.integers(0, 2**32 - 1))
def test_wrapping_an_address_opens_nothing(number: int) -> None:
    """The same answer in each form (rule: access)."""
    plain = is_public(str(IPv4Address(number)))
    for prefix in (0xFFFF << 32, int(IPv6Address("64:ff9b::"))):
        assert is_public(str(IPv6Address(prefix | number))) is plain
    assert is_public(str(IPv6Address((0x2002 << 112) | (number << 80)))) is plain
