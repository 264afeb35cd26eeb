"""Whose account a provider's word opens."""

from __future__ import annotations

import itertools

import pytest

from domain.errors import InvalidCommandError
from domain.identity.links import (
    PATH_CHARACTERS_MAX,
    LinkRefusedError,
    NoAddressError,
    Way,
    check_return_path,
    way_in,
)

BOTH = (False, True)


def test_a_link_needs_both_sides_word() -> None:
    """In all combinations of what may be known (rule: access)."""
    for there, here, verified in itertools.product(BOTH, BOTH, BOTH):
        said = {"verified_there": there, "known_here": here, "verified_here": verified}
        assert way_in(linked=True, address=None, **said) is Way.ENTER
        with pytest.raises(NoAddressError, match="no address"):
            way_in(linked=False, address=None, **said)
        if not here:
            assert way_in(linked=False, address="a@example.com", **said) is Way.REGISTER
        elif there and verified:
            assert way_in(linked=False, address="a@example.com", **said) is Way.LINK
        else:
            with pytest.raises(LinkRefusedError, match="here:" if there else "at the provider"):
                way_in(linked=False, address="a@example.com", **said)


def test_the_way_back_is_a_path_of_our_own() -> None:
    """As it is written (rule: contract)."""
    for path in ("/", "/a/b?c=d&e=%20", "/" + "x" * (PATH_CHARACTERS_MAX - 1)):
        assert check_return_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "x", "//evil.example.com", "/\\evil.example.com", "https://evil.example.com"),
        *("/a\r\nset-cookie: x=y", "/a b", "/ä", "/\x00", '/"', "/" + "x" * PATH_CHARACTERS_MAX),
        *("javascript:alert(1)", "\t//evil.example.com", "/\t/evil.example.com"),
    ],
)
def test_what_leads_elsewhere_is_refused(path: str) -> None:
    """Other hosts, other schemes, other headers (rule: access)."""
    with pytest.raises(InvalidCommandError, match="one slash"):
        check_return_path(path)
