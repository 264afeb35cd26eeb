"""What an API key was limited to: scopes, addresses, referrers, models, providers.

Limits are lists by name, as events carry them; a name that is not there limits nothing. They are
read once, where they are set, and compared with each request in the form of `Access`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from domain.errors import InvalidCommandError
from domain.identity.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from ipaddress import IPv4Address

    Limits = Mapping[str, Sequence[str]]

Network = IPv4Network | IPv6Network

SCOPES, ADDRESSES, REFERRERS = "scopes", "ip_allowlist", "domain_referrers"
MODELS, PROVIDERS = "models", "providers"
ENTRIES_MAX = {
    SCOPES: len(Permission),
    ADDRESSES: 100,
    REFERRERS: 100,
    MODELS: 200,
    PROVIDERS: 64,
}
"""Most entries of each list, by its name."""
ENTRY_CHARACTERS_MAX = 256
HOST_CHARACTERS_MAX = 253
SHOWN_CHARACTERS = 80
"""So much of a bad entry is repeated."""
OF_PROVIDER = "/*"
"""At the end of a model's entry: every model whose id begins with what stands before."""
MAPPED_BITS = 96
"""Bits of an IPv6 address before the IPv4 address that is mapped into it (RFC 4291, 2.5.5.2)."""

_KNOWN = frozenset(Permission)
_CIDR = re.compile(r"[0-9a-fA-F:.]+(/[0-9]{1,3})?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_MODEL = re.compile(r"[^\s*]*[^\s*/](/\*)?")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Access:
    """The limits of a key that each request is held against; an empty one does not limit."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()
    model_beginnings: tuple[str, ...] = ()
    providers: frozenset[str] = frozenset()

    def admits_address(self, address: str) -> bool:
        """Whether a client at this address may use the key; an unknown one may not."""
        if not self.networks:
            return True
        found = address_of(address)
        return found is not None and in_networks(found, self.networks)

    def admits_referrers(self, given: Sequence[bytes]) -> bool:
        """Whether pages at these may use the key: each of them, and at least one."""
        return not self.hosts or (bool(given) and all(map(self._admits_referrer, given)))

    def _admits_referrer(self, given: bytes) -> bool:
        host = host_of(given)
        return any(_is_below(host, each) for each in self.hosts)

    def admits_model(self, model: str) -> bool:
        """Whether the key may call a model, by its id as the caller writes it."""
        if not (self.models or self.model_beginnings):
            return True
        return model in self.models or model.startswith(self.model_beginnings)

    @property
    def allowed_models(self) -> list[str]:
        """The list of models as it was written, for who is refused."""
        return sorted([*self.models, *(f"{each}*" for each in self.model_beginnings)])


def access_of(limits: Limits) -> Access | None:
    """What requests are held against; None where limits are none but scopes."""
    if not limits.keys() - {SCOPES}:
        return None
    models = limits.get(MODELS, ())
    return Access(
        networks=networks_of(limits.get(ADDRESSES, ())),
        hosts=tuple(limits.get(REFERRERS, ())),
        models=frozenset(each for each in models if not each.endswith(OF_PROVIDER)),
        model_beginnings=tuple(each[:-1] for each in models if each.endswith(OF_PROVIDER)),
        providers=frozenset(limits.get(PROVIDERS, ())),
    )


def scopes_in(limits: Limits) -> frozenset[Permission] | None:
    """The scopes of limits; None without any. A name that is known no more gives nothing."""
    if SCOPES not in limits:
        return None
    return frozenset(Permission(each) for each in limits[SCOPES] if each in _KNOWN)


def read_limits(given: Limits) -> dict[str, list[str]]:
    """Limits in the form in which events carry them: each entry in its one writing, once, sorted.

    Empty lists limit nothing, and are left out. Raises InvalidCommandError that names the entry.
    """
    found: dict[str, list[str]] = {}
    for name, entries in given.items():
        if name not in ENTRIES_MAX:
            message = f"there is no limit {name!r}: there are {', '.join(ENTRIES_MAX)}"
            raise InvalidCommandError(message)
        if len(entries) > ENTRIES_MAX[name]:
            message = f"{name} has {len(entries)} entries, the most is {ENTRIES_MAX[name]}"
            raise InvalidCommandError(message)
        if entries:
            found[name] = sorted({_entry(name, each) for each in entries})
    return found


def beyond(maker: Limits, made: Limits) -> str:
    """The first limit of `maker` that `made` passes; empty where it passes none.

    A list that `made` has not limits nothing, and so passes whatever the maker's list says.
    """
    for name, own in maker.items():
        covers = _COVERS[name]
        wanted = made.get(name, ())
        if not wanted or not all(any(covers(each, mine) for mine in own) for each in wanted):
            return name
    return ""


def _entry(name: str, entry: str) -> str:
    """One entry in its one writing; raises InvalidCommandError."""
    text = entry.strip()
    found = _READ[name](text) if len(text) <= ENTRY_CHARACTERS_MAX else None
    if found is None:
        message = f"{name}: {text[:SHOWN_CHARACTERS]!r} {_WANTED[name]}"
        raise InvalidCommandError(message)
    return found


def _read_scope(text: str) -> str | None:
    return text if text in _KNOWN else None


def _read_network(text: str) -> str | None:
    if _CIDR.fullmatch(text) is None:
        return None
    try:
        network = _unmapped(ip_network(text))
    except ValueError:
        return None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _read_host(text: str) -> str | None:
    return ascii_host(text) or None


def _read_model(text: str) -> str | None:
    return text if text.isprintable() and _MODEL.fullmatch(text) else None


def _read_provider(text: str) -> str | None:
    return text if _PROVIDER.fullmatch(text) else None


_READ: Mapping[str, Callable[[str], str | None]] = {
    SCOPES: _read_scope,
    ADDRESSES: _read_network,
    REFERRERS: _read_host,
    MODELS: _read_model,
    PROVIDERS: _read_provider,
}
_WANTED = {
    SCOPES: "is no permission: write one as read:usage",
    ADDRESSES: (
        "is neither an address nor a network: write 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, "
        "without bits behind the prefix"
    ),
    REFERRERS: (
        "is no domain: write the host alone, as example.com, which stands for all below it too; "
        "one of other than ASCII letters in the form that begins with xn--"
    ),
    MODELS: "is no model: write an id as callers do, or all of a provider's as openai/*",
    PROVIDERS: "is no provider: write a name as GET /v1/provider lists it",
}


def networks_of(entries: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks; raises ValueError for a text that is neither."""
    return tuple(_unmapped(ip_network(each)) for each in entries)


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """An address in its one form: without a zone, IPv4 where it is mapped; None if it is none."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def in_networks(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    """Whether any of the networks holds an address; IPv4 and IPv6 hold nothing of each other."""
    return any(address in each for each in networks)


def _unmapped(network: Network) -> Network:
    """A network of mapped IPv4 addresses as what it is."""
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped and network.prefixlen >= MAPPED_BITS:
        return IPv4Network((first.ipv4_mapped, network.prefixlen - MAPPED_BITS))
    return network


def host_of(referrer: bytes) -> str:
    """The host of an `Origin` or `Referer`, in ASCII and lower case; empty where there is none."""
    try:
        parts = urlsplit(referrer.decode("utf-8"))
        named = parts.hostname if parts.scheme in {"http", "https"} else None
    except ValueError:
        return ""
    return ascii_host(named or "")


def ascii_host(host: str) -> str:
    """A host in its one form; empty for what is none.

    Letters whose form depends on the version of IDNA (RFC 5892, 2.7 and appendix) are none: what
    a browser makes of them is not what we would.
    """
    try:
        found = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return ""
    if len(found) > HOST_CHARACTERS_MAX or not _AMBIGUOUS.isdisjoint(host):
        return ""
    return found if all(map(_LABEL.fullmatch, found.split("."))) else ""


_AMBIGUOUS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")


def _is_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _covers_network(wanted: str, own: str) -> bool:
    ((inner,), (outer,)) = networks_of([wanted]), networks_of([own])
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _covers_model(wanted: str, own: str) -> bool:
    return wanted == own or (own.endswith(OF_PROVIDER) and wanted.startswith(own[:-1]))


_COVERS: Mapping[str, Callable[[str, str], bool]] = {
    SCOPES: str.__eq__,
    ADDRESSES: _covers_network,
    REFERRERS: _is_below,
    MODELS: _covers_model,
    PROVIDERS: str.__eq__,
}
"""For each limit, whether an entry allows nothing that another does not."""
