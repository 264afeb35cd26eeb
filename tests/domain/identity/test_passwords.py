"""Passwords: long enough, not common, not the address."""

from __future__ import annotations

import pytest

from domain.errors import InvalidCommandError
from domain.identity.passwords import PASSWORD_CHARACTERS_MAX, check_password

COMMON = {"password1", "iloveyou1"}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("short", "8 to 256"),
        ("x" * (PASSWORD_CHARACTERS_MAX + 1), "8 to 256"),
        ("PassWord1", "lists"),
        ("zzzzzzzzzz", "lists"),
        ("ann@example.com", "address"),
        ("ANN.LONGNAME", "address"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(bad: str, why: str) -> None:
    """The reason says what to do (rule: refuse clearly)."""
    address = "Ann.Longname@example.com" if bad == "ANN.LONGNAME" else "ann@example.com"
    with pytest.raises(InvalidCommandError, match=why):
        check_password(bad, address, COMMON)


def test_anything_else_is_taken() -> None:
    """No rules about signs and digits: length is what counts (rule: access)."""
    for good in ("correct horse battery", "пароль длинный", "12345678a", "😀" * 7 + "x"):
        check_password(good, "ann@example.com", COMMON)
