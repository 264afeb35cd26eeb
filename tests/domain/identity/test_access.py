"""What a key is limited to: lists are read in one writing, and nothing slips past them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.identity.access import (
    ENTRIES_MAX,
    ENTRY_CHARACTERS_MAX,
    Access,
    access_of,
    address_of,
    ascii_host,
    beyond,
    host_of,
    read_limits,
    scopes_in,
)
from domain.identity.permissions import Permission


def limited(name: str, *entries: str) -> Access:
    """A key with one list."""
    access = access_of(read_limits({name: entries}))
    assert access is not None
    return access


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:200/120", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_writing(written: str, read: str) -> None:
    """Mapped addresses are IPv4, and one address is no network (rule: access)."""
    assert read_limits({"ip_allowlist": [written]}) == {"ip_allowlist": [read]}


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        *(
            ("ip_allowlist", each)
            for each in (
                *("", "10.0.0.1/8", "1.2.3.4/0", "::1/0", "10.0.0.0/33", "10.0.0.0/-1"),
                *(
                    "10.0.0.0/255.0.0.0",
                    "010.0.0.1",
                    "1.2.3",
                    "fe80::1%eth0",
                    "localhost",
                    "1" * 999,
                ),
                *("10.0.0.0/8/8", "::ffff:0:0:0:0:0:0:0:0", "10.0.0.0 /8", "1.2.3.4\r\nx: y", "*"),
            )
        ),
        *(
            ("domain_referrers", each)
            for each in (
                *("", "*.example.com", "https://example.com", "example.com/path", "a b.com"),
                *(
                    "example.com:443",
                    ".example.com",
                    "a..b",
                    "-a.com",
                    "x" * 64 + ".com",
                    "a@b.com",
                ),
                *(
                    "stra\u00dfe.de",
                    "a\u200db.com",
                    ".".join(["abcdefgh"] * 29),
                    "a\r\nb.com",
                    "x\0y",
                ),
            )
        ),
        *(
            ("models", each)
            for each in ("", "*", "open*", "/*", "a b", "openai/*/x", "a//*", "a\0", "x" * 257)
        ),
        *(("providers", each) for each in ("", "*", "Open Router", "open/router", "-x")),
        *(("scopes", each) for each in ("", "*", "read", "read:everything", "READ:USAGE")),
        ("colours", "red"),
    ],
)
def test_what_limits_nothing_sensible_is_named(name: str, entry: str) -> None:
    """The message says which entry of which list (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match=name) as refused:
        read_limits({name: [entry]})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("name", ENTRIES_MAX)
def test_a_list_is_bounded_before_it_is_read(name: str) -> None:
    """A hundred thousand entries cost nothing (rule: bounded)."""
    with pytest.raises(InvalidCommandError, match=f"{name} has 100000 entries, the most is"):
        read_limits({name: ["\0"] * 100_000})


def test_entries_stand_once_and_sorted_and_empty_lists_not_at_all() -> None:
    """So that the same limits are the same event (rule: access)."""
    assert read_limits({"models": ["b", "a", "b"], "providers": [], "ip_allowlist": ()}) == {
        "models": ["a", "b"]
    }


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.0/8", ("10.255.0.1", "::ffff:10.0.0.1"), ("11.0.0.1", "::a00:1", "", "unix", "x")),
        ("0.0.0.0/0", ("1.2.3.4",), ("::1", "2001:db8::1")),
        ("::/0", ("::1", "fe80::1%eth0"), ("1.2.3.4", "::ffff:1.2.3.4")),
        ("2001:db8::/64", ("2001:db8::ff",), ("2001:db8:0:1::",)),
        ("127.0.0.1", ("127.0.0.1",), ("127.0.0.2", "127.0.0.1:80", "127.1", "0x7f.0.0.1")),
    ],
)
def test_an_address_is_of_a_network_as_it_is_written(
    entry: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    """IPv4 and IPv6 hold nothing of each other; what is no address is refused (rule: access)."""
    access = limited("ip_allowlist", entry)
    assert all(map(access.admits_address, inside))
    assert not any(map(access.admits_address, outside))


@pytest.mark.parametrize(
    "referrer",
    [
        *("https://example.com", "http://example.com:8080/path?q", "https://APP.Example.COM./"),
        *("https://a.b.example.com", "https://user@example.com/"),
    ],
)
def test_a_page_of_the_domain_or_below_it(referrer: str) -> None:
    """In any case, on any port (rule: access)."""
    assert limited("domain_referrers", "Example.com").admits_referrers([referrer.encode()])


@pytest.mark.parametrize(
    "referrer",
    [
        *("https://example.com.evil.org", "https://notexample.com", "https://evil.org/example.com"),
        *(
            "https://evil.org?example.com",
            "https://example.com@evil.org",
            "https://evil.org#.example.com",
        ),
        *(
            "null",
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://[::1",
            "https://com",
        ),
        *(
            "https://evil.org\\.example.com",
            "https://\u0435xample.com",
            "https://example.com%00.evil.org",
        ),
        "https://example\u3002com.evil.org",
    ],
)
def test_a_page_that_only_looks_like_it(referrer: str) -> None:
    """Neither before, nor behind, nor in another alphabet (rule: access)."""
    access = limited("domain_referrers", "example.com")
    assert not access.admits_referrers([referrer.encode()])
    assert not access.admits_referrers([b"https://example.com", referrer.encode()])


def test_no_page_at_all_is_not_of_the_domain() -> None:
    """A missing header is refused where the list is set, and nowhere else (rule: access)."""
    assert not limited("domain_referrers", "example.com").admits_referrers([])
    assert limited("models", "m").admits_referrers([])
    assert host_of(b"https://\xff.com") == ""


def test_a_domain_of_other_letters_is_compared_in_ascii() -> None:
    """As browsers send it (rule: access)."""
    access = limited("domain_referrers", "B\u00fccher.example")
    assert access.hosts == ("xn--bcher-kva.example",)
    assert access.admits_referrers([b"https://shop.xn--bcher-kva.example"])
    assert access.admits_referrers(["https://b\u00fccher.example".encode()])


def test_models_are_ids_as_callers_write_them() -> None:
    """Or all of a provider's; nothing that merely begins alike (rule: access)."""
    access = limited("models", "openai/gpt-4o", "local/*")
    for model in ("openai/gpt-4o", "local/m", "local/org/m"):
        assert access.admits_model(model)
    for model in ("openai/gpt-4o-mini", "gpt-4o", "local", "localhost/m", "OPENAI/gpt-4o", ""):
        assert not access.admits_model(model)
    assert access.allowed_models == ["local/*", "openai/gpt-4o"]
    assert limited("providers", "openai").admits_model("anything")
    assert limited("providers", "openai").admits_address("")


def test_scopes_are_held_against_permissions() -> None:
    """None without the list; a name that is known no more gives nothing (rule: access)."""
    assert scopes_in({}) is None
    assert scopes_in({"scopes": ["read:usage", "read:gone"]}) == frozenset({Permission.READ_USAGE})
    assert access_of({}) is None
    assert access_of({"scopes": ["read:usage"]}) is None


@pytest.mark.parametrize(
    ("maker", "made", "passed"),
    [
        ({}, {}, ""),
        ({}, {"scopes": ["read:usage"]}, ""),
        ({"scopes": ["read:usage"]}, {}, "scopes"),
        ({"scopes": ["read:usage"]}, {"scopes": ["read:usage"]}, ""),
        ({"scopes": ["read:usage"]}, {"scopes": ["read:usage", "write:chat"]}, "scopes"),
        ({"ip_allowlist": ["10.0.0.0/8"]}, {"ip_allowlist": ["10.1.0.0/16", "10.0.0.1"]}, ""),
        ({"ip_allowlist": ["10.0.0.0/8"]}, {"ip_allowlist": ["0.0.0.0/0"]}, "ip_allowlist"),
        ({"ip_allowlist": ["::/0"]}, {"ip_allowlist": ["10.0.0.1"]}, "ip_allowlist"),
        ({"ip_allowlist": ["0.0.0.0/0"]}, {"ip_allowlist": ["::1"]}, "ip_allowlist"),
        ({"ip_allowlist": ["2001:db8::/32"]}, {"ip_allowlist": ["2001:db8::1"]}, ""),
        ({"domain_referrers": ["a.com"]}, {"domain_referrers": ["x.a.com"]}, ""),
        ({"domain_referrers": ["x.a.com"]}, {"domain_referrers": ["a.com"]}, "domain_referrers"),
        ({"models": ["p/*"]}, {"models": ["p/m", "p/o/*"]}, ""),
        ({"models": ["p/m"]}, {"models": ["p/*"]}, "models"),
        ({"providers": ["p"]}, {"providers": ["q"]}, "providers"),
    ],
)
def test_what_a_key_makes_is_within_its_own_limits(
    maker: dict[str, list[str]], made: dict[str, list[str]], passed: str
) -> None:
    """The first limit that is passed is named (rule: access)."""
    assert beyond(maker, made) == passed


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    """With the one error, whatever it is (rule: refuse clearly)."""
    for name in ENTRIES_MAX:
        try:
            ((entry,),) = read_limits({name: [text]}).values()
        except InvalidCommandError:
            continue
        assert len(text.strip()) <= ENTRY_CHARACTERS_MAX
        assert read_limits({name: [entry]}) == {name: [entry]}


@given(st.text(max_size=60), st.binary(max_size=60))
def test_no_header_breaks_the_comparison(text: str, data: bytes) -> None:
    """Nor opens anything (rule: refuse clearly)."""
    assert not limited("domain_referrers", "example.com").admits_referrers([b"http://" + data])
    assert not limited("ip_allowlist", "203.0.113.77").admits_address(text)
    assert ascii_host(text).isascii()
    assert address_of(text) is None or "." in text or ":" in text
