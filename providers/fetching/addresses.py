"""Which addresses are public: somebody who names one gains nothing that he could not have himself.

Source: the IANA special-purpose registries, as Python's `ipaddress` has them, and what wraps an
IPv4 address in an IPv6 one (RFC 4291, 2.5.5; RFC 6052; RFC 3056; RFC 4380).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
COMPATIBLE = IPv6Network("::/96")
METADATA = frozenset({IPv4Address("168.63.129.16")})
"""Public by the registries, and yet a cloud's own: Azure's agent. All others are link-local, local
or shared ones.
"""
UNICAST = IPv6Network("2000::/3")
"""All that IANA gives out of IPv6."""
SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
SPECIAL_V6 = (IPv6Network("2001::/23"), IPv6Network("3fff::/20"))
"""What some versions of Python take for public."""
_V4_BITS = 2**32 - 1


def is_public(text: str) -> bool:
    """Whether an address is one of the public network's, whatever it is wrapped in."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return _is_public_v4(inner)
        special = any(address in each for each in SPECIAL_V6)
        return address.is_global and address in UNICAST and not special
    return _is_public_v4(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and address not in METADATA
        and not any(address in each for each in SPECIAL)
    )


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to this one ends at, where there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in COMPATIBLE or any(address in each for each in NAT64):
        return IPv4Address(int(address) & _V4_BITS)
    return None
