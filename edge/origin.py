"""Where a request comes from, as attempts are counted."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import Request

    from edge.clients import Proxies

IPV6_NETWORK = 64
"""What one subscriber is given (RFC 6177): addresses below it count as one."""
HOST_CHARACTERS_MAX = 64


def origin_of(host: str) -> str:
    """A client's address; IPv6 by its network, IPv4 in IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:HOST_CHARACTERS_MAX]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
    return str(address)


def host_of(request: Request) -> str:
    """The origin of a request."""
    proxies: Proxies = request.app.state.proxies
    return origin_of(proxies.client_of(request.scope))
