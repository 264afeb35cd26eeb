"""Which codes count, and when; what passkeys may be called."""

from __future__ import annotations

import pytest

from domain.errors import InvalidCommandError
from domain.identity.second_factors import (
    PASSKEY_NAME_MAX,
    RECOVERY_BYTES,
    CodeKind,
    check_passkey_name,
    read_code,
    recovery_code,
    step_of,
    steps_at,
)


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ("123456", CodeKind.TOTP, "123456"),
        (" 123 456 ", CodeKind.TOTP, "123456"),
        ("ABCD-efgh-2345-ijkl", CodeKind.RECOVERY, "abcdefgh2345ijkl"),
    ],
)
def test_codes_are_read_as_people_write_them(given: str, kind: CodeKind, text: str) -> None:
    """In groups, with spaces, in capitals (rule: contract)."""
    assert read_code(given) == (kind, text)


@pytest.mark.parametrize(
    "given",
    ["", "12345", "1234567", "١٢٣٤٥٦", "abcdefgh2345ijk", "äbcdefgh2345ijkl", "0" * 10_000, "a\0b"],
)
def test_what_is_no_code_is_refused(given: str) -> None:
    """Before anything is compared (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="6 digits"):
        read_code(given)


def test_a_recovery_code_is_read_as_it_was_shown() -> None:
    """All of its 80 bits (rule: contract)."""
    shown = recovery_code(bytes(range(RECOVERY_BYTES)))
    assert shown == "aaaq-eaye-auda-ocaj"
    assert read_code(shown.upper()) == (CodeKind.RECOVERY, shown.replace("-", ""))


def test_clocks_may_be_one_step_apart() -> None:
    """And no more (rule: bounded)."""
    assert list(steps_at(59)) == [0, 1, 2]
    assert list(steps_at(60)) == [1, 2, 3]


def test_the_newest_step_with_a_code_counts() -> None:
    """So that both of two equal ones are used up (rule: access)."""
    codes = {1: "111111", 2: "222222", 3: "111111"}
    assert step_of("111111", codes) == 3
    assert step_of("222222", codes) == 2
    assert step_of("333333", codes) is None


def test_a_passkey_has_a_name_that_can_be_printed() -> None:
    """Of a bounded length (rule: bounded)."""
    assert check_passkey_name("  Ann's phone ") == "Ann's phone"
    for name in ("", "  ", "a\nb", "x" * (PASSKEY_NAME_MAX + 1)):
        with pytest.raises(InvalidCommandError, match="passkey's name"):
            check_passkey_name(name)
