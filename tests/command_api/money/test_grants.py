"""Credits given outside of calls: once a key, within their maxima."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.money.grants import Grant, Grants
from domain.errors import InvalidAmountError, InvalidCommandError
from domain.ledger.amounts import ACCOUNT_GRANTED_NANO_USD_MAX, GRANT_NANO_USD_MAX
from domain.ledger.lots import GrantKind, TrialTerms
from projections.hosting.verify import verify

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")


def give(database: Database, amount: int, key: str | None = None) -> tuple[str, bool]:
    """One grant, as the command line gives it."""
    grant = Grant(
        account_id=ACCOUNT, amount=amount, kind=GrantKind.BONUS, reason="test", idempotency_key=key
    )
    return asyncio.run(Grants(database, actor="test").give(grant))


@pytest.mark.parametrize("amount", [-1, 0, GRANT_NANO_USD_MAX + 1, 2**63, 10**30])
def test_an_absurd_grant_is_refused(database: Database, amount: int) -> None:
    """One line that says what a grant may be, and nothing is written (P1, rule: refuse clearly)."""
    with pytest.raises(InvalidAmountError, match=r"at most 10000000\.000000000 USD$"):
        give(database, amount)
    assert verify(database).events == 0


def test_an_account_can_be_granted_so_much_and_no_more(database: Database) -> None:
    """The line says how much more it can have (P1, rule: refuse clearly)."""
    for _ in range(ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX - 1):
        give(database, GRANT_NANO_USD_MAX)
    give(database, GRANT_NANO_USD_MAX - 5)
    with pytest.raises(InvalidAmountError, match=r"can be granted 0\.000000005 USD more"):
        give(database, 6)
    report = verify(database)
    assert report.differences == []
    assert report.granted_nano_usd == ACCOUNT_GRANTED_NANO_USD_MAX - 5


def test_a_key_gives_once_and_only_what_it_gave(database: Database) -> None:
    """Another amount under it is refused in one line that says what it gave (P3)."""
    lot, first = give(database, 5 * 10**9, key="k")
    assert first
    assert give(database, 5 * 10**9, key="k") == (lot, False)
    with pytest.raises(InvalidCommandError, match=r"'k' is of another grant, of 5\.000000000 USD"):
        give(database, 6 * 10**9, key="k")
    assert verify(database).granted_nano_usd == 5 * 10**9


def test_a_trial_is_given_once(database: Database) -> None:
    """Asked for again it would end later or give more, and changes nothing (P3, money rule 10)."""
    grants = Grants(database, actor="test")
    assert asyncio.run(grants.give_trial(ACCOUNT, TrialTerms()))
    for terms in (TrialTerms(), TrialTerms(days=9, nano_usd=1, requests=5, tokens=5)):
        assert asyncio.run(grants.give_trial(ACCOUNT, terms)) is False
    assert verify(database).granted_nano_usd == TrialTerms().nano_usd
