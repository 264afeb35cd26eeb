"""The most that amounts may be."""

from __future__ import annotations

import pytest

from domain.errors import InvalidAmountError
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
    check_grant,
)
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.model.log import ACCOUNT_FULL, OK

A = "00000000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize("amount", [1, GRANT_NANO_USD_MAX])
def test_a_grant_may_be_so_much(amount: int) -> None:
    """From one nano-USD on (P4)."""
    check_grant(amount)


@pytest.mark.parametrize("amount", [-(2**63), -1, 0, GRANT_NANO_USD_MAX + 1, 2**64])
def test_a_grant_may_not_be_so_much(amount: int) -> None:
    """The message says what can be granted (P4, rule: refuse clearly)."""
    with pytest.raises(InvalidAmountError, match=r"at most 10000000\.0+ USD"):
        check_grant(amount)


def test_an_account_is_full_at_its_maximum() -> None:
    """To the last nano-USD, and a refused grant changes nothing (P1, rule: bounded)."""
    model = ModelLedger()
    for number in range(ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX - 1):
        assert model.grant(A, f"lot {number}", "bonus", GRANT_NANO_USD_MAX, None) == OK
    assert model.grant(A, "most", "bonus", GRANT_NANO_USD_MAX - 1, None) == OK
    assert model.grant(A, "too much", "bonus", 2, None) == ACCOUNT_FULL
    assert model.grant(A, "last", "bonus", 1, None) == OK
    assert model.state.account(A).available == ACCOUNT_GRANTED_NANO_USD_MAX
