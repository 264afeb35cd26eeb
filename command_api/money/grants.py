"""Credits given: by the operator, and as the trial. Each is one entry of the append."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec

from domain.errors import InvalidAmountError, InvalidCommandError
from domain.ledger.amounts import ACCOUNT_GRANTED_NANO_USD_MAX, check_grant
from domain.ledger.lots import (
    PRIORITY,
    GrantKind,
    TrialTerms,
)
from domain.pricing.money import format_usd
from event_store.append.committer import Committer
from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from event_store.postgres.database import Database

APPEND_TIMEOUT_S = 10.0
"""A person waits for a grant, so it may wait longer for a lost database than a call does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Credits to give, in nano-USD; a key makes a repetition change nothing."""

    account_id: UUID
    amount: int
    kind: GrantKind
    reason: str
    expires_at: str | None = None
    idempotency_key: str | None = None
    limits: dict[str, int] | None = None
    payment_id: str | None = None
    """The payment that bought them."""
    made_id: UUID | None = None
    """The id of the lot, where it was named before; a key counts for nothing then."""

    @property
    def lot_id(self) -> UUID:
        """The lot's id: as it was named, of the account and the key, or a new one."""
        if self.made_id is not None:
            return self.made_id
        key = self.idempotency_key
        return uuid5(self.account_id, f"grant {key}") if key else new_uuid7()


class GrantKeyReusedError(InvalidCommandError):
    """The idempotency key is of another grant."""


async def append_grant(committer: Committer, grant: Grant, *, actor: str) -> tuple[str, bool]:
    """Give credits through a running append; returns and raises as `Grants.give`."""
    check_grant(grant.amount)
    key = grant.idempotency_key
    lot_id = grant.lot_id
    fields: dict[str, Any] = {
        **new_envelope(actor),
        "account_id": str(grant.account_id),
        "lot_id": str(lot_id),
        "kind": grant.kind,
        "priority": PRIORITY[grant.kind],
        "amount_nano_usd": grant.amount,
        "expires_at": grant.expires_at,
        "reason": grant.reason,
        "limits": grant.limits,
        "payment_id": grant.payment_id,
    }
    answer = await committer.append(
        Entry(
            EntryKind.GRANT,
            lot_id.bytes,
            grant.account_id.bytes,
            grant.amount,
            msgspec.json.encode(fields)[:-1],
        )
    )
    if answer.code == AppendCode.IDEMPOTENCY_KEY_REUSED:
        message = (
            f"the idempotency key {key!r} is of another grant, of {format_usd(answer.figure)} "
            "USD: nothing was granted now. Use a new key for a new grant"
        )
        raise GrantKeyReusedError(message)
    if answer.code == AppendCode.ACCOUNT_FULL:
        message = (
            f"account {grant.account_id} can be granted {format_usd(answer.figure)} USD more: "
            f"its grants are at most {format_usd(ACCOUNT_GRANTED_NANO_USD_MAX)} USD in all"
        )
        raise InvalidAmountError(message)
    return str(lot_id), answer.code == AppendCode.OK


@asynccontextmanager
async def running_committer(database: Database) -> AsyncIterator[Committer]:
    """An append of a command's own, that places no holds; raises EventStoreError."""
    committer = Committer(
        database.application,
        owner_id=new_uuid7(),
        hold_ttl_s=1,
        append_timeout_s=APPEND_TIMEOUT_S,
    )
    await committer.start()
    try:
        yield committer
    finally:
        await committer.stop()


class Grants:
    """The commands; one for each run of the command line."""

    def __init__(self, database: Database, *, actor: str) -> None:
        """`actor` stands on the events."""
        self._database, self._actor = database, actor

    async def give(self, grant: Grant) -> tuple[str, bool]:
        """Give credits, durably; returns (lot id, whether this was the first time).

        Raises InvalidAmountError for more than a grant, or an account's grants, can be,
        InvalidCommandError for another grant under a key that was used, and
        EventStoreError when the ledger cannot be reached or refuses the entry.
        """
        check_grant(grant.amount)  # Before anything is connected.
        async with running_committer(self._database) as committer:
            return await append_grant(committer, grant, actor=self._actor)

    async def give_trial(self, account_id: UUID, terms: TrialTerms) -> bool:
        """The trial (money rule 10); a second time, by whatever terms, changes nothing."""
        expires = datetime.now(UTC) + timedelta(days=terms.days)
        trial = Grant(
            account_id=account_id,
            amount=terms.nano_usd,
            kind=GrantKind.TRIAL,
            reason="trial credits",
            expires_at=to_iso(expires),
            idempotency_key="trial",
            limits={"requests": terms.requests, "tokens": terms.tokens},
        )
        try:
            return (await self.give(trial))[1]
        except GrantKeyReusedError:
            return False
