"""Whose request it is: the peer's word, and that of proxies that are trusted, no others."""

from __future__ import annotations

from typing import Any

import pytest

from domain.identity.key_format import Environment, key_of_secret
from edge.clients import HOPS_MAX, Proxies, key_in_url, referrers_of, without_keys

KEY = key_of_secret("a" * 37, Environment.TEST)


def scope(peer: str | None, *forwarded: str, **more: Any) -> dict[str, Any]:
    """A request from a peer."""
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    return {"client": (peer, 1) if peer is not None else None, "headers": headers, **more}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2,10.9.9.9"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.7, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7,"], "10.0.0.1"),
        ("10.0.0.1", ["\xff\xfe"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7:80"], "10.0.0.1"),
        ("10.0.0.1", ["garbage, 203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", ["203.0.113.7"], "192.0.2.1"),
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        (None, ["203.0.113.7"], ""),
        ("", ["203.0.113.7"], ""),
    ],
)
def test_the_client_is_the_last_hop_that_no_trusted_proxy_is(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    """What stands before it anybody may have written; garbage is the peer's (rule: access)."""
    assert Proxies(["10.0.0.0/8"]).client_of(scope(peer, *forwarded)) == client
    assert Proxies().client_of(scope(peer, *forwarded)) == (peer or "")


def test_hops_are_followed_to_a_bound() -> None:
    """However many there are (rule: bounded)."""
    hops = ", ".join(["203.0.113.7", *["10.0.0.2"] * HOPS_MAX * 100])
    assert Proxies(["10.0.0.0/8"]).client_of(scope("10.0.0.1", hops)) == "10.0.0.2"


@pytest.mark.parametrize(
    ("trusted", "said"),
    [("localhost", "does not appear"), ("10.0.0.1/8", "has host bits"), ("", "does not appear")],
)
def test_a_proxy_is_an_address_or_a_network(trusted: str, said: str) -> None:
    """Anything else is a mistake of the operator's (rule: refuse clearly)."""
    with pytest.raises(ValueError, match=said):
        Proxies([trusted])


def test_every_header_that_names_the_page_counts() -> None:
    """A second one is not passed over, and HTTP-Referer names an app, no page (rule: access)."""
    headers = [(b"origin", b"a"), (b"http-referer", b"x"), (b"referer", b"b"), (b"referer", b"c")]
    assert referrers_of({"headers": headers}) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "query",
    [f"api_key={KEY}", f"key={KEY}&x=1", f"x={KEY.replace('_', '%5F')}", f"{KEY}", f"a=1;{KEY}=2"],
)
def test_a_key_in_the_address_is_refused_and_not_repeated(query: str) -> None:
    """Whatever its name, and encoded too (rule: access)."""
    error = key_in_url({"query_string": query.encode()})
    assert error is not None
    assert (error.status, error.code) == (400, "key_in_url")
    assert KEY not in error.message


def test_other_addresses_are_none_of_a_key() -> None:
    """Also where they begin alike (rule: access)."""
    for query in (
        b"",
        b"key=gw_test_short",
        b"api_key=sk-x",
        b"%ff%zz",
        b"key=gw_other_" + b"a" * 43,
    ):
        assert key_in_url({"query_string": query}) is None
    assert key_in_url({}) is None
    assert without_keys("/v1/calls/x") == "/v1/calls/x"
    assert without_keys(f"/v1/calls/{KEY}/gw_") == "/v1/calls/gw_.../gw_"
