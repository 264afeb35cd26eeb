"""Addresses: what is taken, and which two are one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.identity.addresses import check_address, comparable, person_of, scripts_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Example.com ", "ann@example.com"),
        ("ann@example.com", "ａｎｎ@example.com"),
        ("office@example.com", "oﬃce@example.com"),
        ("ann@bücher.example", "ann@BÜCHER.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_addresses_that_look_alike_are_one(one: str, other: str) -> None:
    """Case, width, ligatures and the host's spelling make no second user (rule: access)."""
    assert comparable(one) == comparable(other)


def test_addresses_of_two_people_stay_two() -> None:
    """Dots and plus signs are the host's matter, not ours (rule: access)."""
    names = ("ann", "a.nn", "ann+x", "anm")
    assert len({comparable(f"{name}@example.com") for name in names}) == len(names)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ann@Example.com", "ann+trial@example.com", True),
        ("ann+1@example.com", "ann+2+3@example.com", True),
        ("a.n.n@gmail.com", "ann+x@GoogleMail.com", True),
        ("a.nn@example.com", "ann@example.com", False),
        ("ann@example.com", "ann@example.org", False),
        ("+a@example.com", "+b@example.com", False),
        ("ann", "bob", False),
        ("", "@", False),
    ],
)
def test_one_mailbox_is_one_person(one: str, other: str, *, same: bool) -> None:
    """Whatever its owner writes behind a plus, and Google's dots (money rule 10)."""
    assert (person_of(one) == person_of(other)) is same


@pytest.mark.parametrize(
    "bad",
    [
        *("", "@", "a@", "@b", "ann", "a b@example.com", "a\nb@example.com", "a@exa mple.com"),
        *("a@b@example.com", "a@example..com", "a@" + "x" * 64 + ".com", "x" * 65 + "@example.com"),
        *("a@" + "x." * 130 + "com", "<a@example.com>", 'a"b@example.com', "a\x00@example.com"),
        "a@example.com\r\nBcc: all@example.com",
        "аnn@example.com",
        "ann@exаmple.com",
        "ann@googIe\u200b.com\u0130\u03b1",  # Greek and Latin in one label.
    ],
)
def test_what_is_no_address_or_mixes_scripts_is_refused(bad: str) -> None:
    """It is refused with a message, never by accident (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError):
        check_address(bad)


@pytest.mark.parametrize(
    "good",
    ["ann@example.com", "анна@пример.рф", "花子@例え.jp", "a-b_c+d@sub.example.co.uk", "a@b"],
)
def test_an_address_of_one_script_is_taken(good: str) -> None:
    """It is kept as it was written, without space around it (rule: access)."""
    assert check_address(f" {good}\t") == good


@given(st.text(max_size=400))
@example("ann@a..b")
def test_any_text_can_be_compared_and_checked(text: str) -> None:
    """Whatever comes, it is an address, or refused by name (rule: bounded)."""
    assert comparable(text) == comparable(comparable(text)) or not text.isascii()
    try:
        assert "@" in check_address(text)
    except InvalidCommandError as error:
        assert len(str(error)) < 1_000  # noqa: PT017 - it is raised for most texts, not for all.


def test_scripts_that_go_together_count_as_one() -> None:
    """Japanese is written in three scripts and Latin (rule: access)."""
    assert len(scripts_of("花子ハナhanako")) == 1
    assert len(scripts_of("aα")) == 2
    assert scripts_of("123-_.") == frozenset()
