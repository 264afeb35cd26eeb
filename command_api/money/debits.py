"""Credits taken back, and moved to another account: each is one entry of the append."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

import msgspec

from command_api.money.grants import running_committer
from domain.errors import InvalidAmountError, InvalidCommandError
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    ACCOUNT_OWED_NANO_USD_MAX,
    TRANSFER_LOTS_MAX,
    check_debit,
)
from domain.ledger.lots import DebitKind
from domain.pricing.money import format_usd
from event_store.append.entries import AppendAnswer, AppendCode, Entry, EntryKind
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from event_store.append.committer import Committer
    from event_store.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taking:
    """What an account loses, in nano-USD; with the same key a repetition changes nothing."""

    account_id: UUID
    debit_key: str
    amount: int
    reason: str
    made_id: UUID | None = None
    """The debit's id, where it was named before; the key counts for nothing then."""

    @property
    def debit_id(self) -> UUID:
        """The debit's id: as it was named, else of the account and the key."""
        return self.made_id or uuid5(self.account_id, f"debit {self.debit_key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit(_Taking):
    """Credits to take back.

    `lot_id` is the grant that it concerns, whose rest goes first; `payment_id` the payment.
    """

    kind: DebitKind
    lot_id: UUID | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(_Taking):
    """Credits to move to another account; the key is of the account that gives."""

    to_account_id: UUID


class Debited(NamedTuple):
    """What became of a debit, nano-USD."""

    debit_id: UUID
    taken_nano_usd: int
    owed_nano_usd: int
    first: bool
    """Whether it was done now, and not before under the same key."""


class DebitKeyReusedError(InvalidCommandError):
    """The key is of another debit or transfer."""


class NotEnoughToTransferError(InvalidAmountError):
    """An account has less than was to be moved; nothing was."""


class Debits:
    """The commands; one for each run of the command line."""

    def __init__(self, database: Database, *, actor: str) -> None:
        """`actor` stands on the events."""
        self._database, self._actor = database, actor

    async def take(self, debit: Debit) -> Debited:
        """Take credits back, durably; raises as `append_debit` does."""
        check_debit(debit.amount)  # Before anything is connected.
        async with running_committer(self._database) as committer:
            return await append_debit(committer, debit, actor=self._actor)

    async def move(self, transfer: Transfer) -> Debited:
        """Move credits, durably; raises as `append_transfer` does."""
        check_debit(transfer.amount)
        async with running_committer(self._database) as committer:
            return await append_transfer(committer, transfer, actor=self._actor)


async def append_debit(committer: Committer, debit: Debit, *, actor: str) -> Debited:
    """Take credits back; what is not there is owed from now on.

    Raises InvalidAmountError for more than one debit, or an account's debt, can be,
    DebitKeyReusedError, and EventStoreError when the ledger cannot be reached or refuses it.
    """
    check_debit(debit.amount)
    fields = {
        **new_envelope(actor),
        "account_id": str(debit.account_id),
        "debit_id": str(debit.debit_id),
        "kind": str(debit.kind),
        "amount_nano_usd": debit.amount,
        "lot_id": debit.lot_id and str(debit.lot_id),
        "payment_id": debit.payment_id,
        "reason": debit.reason,
    }
    answer = await _append(committer, EntryKind.DEBIT, debit, fields)
    if answer.code == AppendCode.ACCOUNT_FULL:
        message = (
            f"account {debit.account_id} would owe more than "
            f"{format_usd(ACCOUNT_OWED_NANO_USD_MAX)} USD: nothing was taken"
        )
        raise InvalidAmountError(message)
    first = answer.code == AppendCode.OK
    return Debited(debit.debit_id, answer.figure, debit.amount - answer.figure, first)


async def append_transfer(committer: Committer, transfer: Transfer, *, actor: str) -> Debited:
    """Move credits: the debit and the grants of what it took, together or neither.

    Lots keep kind, priority and expiry; trial credits stay where they are. Raises as `append_debit`
    does, and NotEnoughToTransferError.
    """
    check_debit(transfer.amount)
    if transfer.account_id == transfer.to_account_id:
        message = "an account gives nothing to itself: name another"
        raise InvalidCommandError(message)
    fields = {
        **new_envelope(actor),
        "account_id": str(transfer.account_id),
        "debit_id": str(transfer.debit_id),
        "kind": str(DebitKind.TRANSFER),
        "amount_nano_usd": transfer.amount,
        "to_account_id": str(transfer.to_account_id),
        "reason": transfer.reason,
    }
    answer = await _append(committer, EntryKind.TRANSFER, transfer, fields)
    if answer.code == AppendCode.INSUFFICIENT_CREDITS:
        message = (
            f"{format_usd(transfer.amount)} USD cannot be moved: {format_usd(answer.figure)} USD "
            f"can, from at most {TRANSFER_LOTS_MAX} grants at once and from no trial"
        )
        raise NotEnoughToTransferError(message)
    if answer.code == AppendCode.ACCOUNT_FULL:
        message = (
            f"account {transfer.to_account_id} takes no more: its grants are at most "
            f"{format_usd(ACCOUNT_GRANTED_NANO_USD_MAX)} USD in all"
        )
        raise InvalidAmountError(message)
    return Debited(transfer.debit_id, transfer.amount, 0, answer.code == AppendCode.OK)


async def _append(
    committer: Committer, kind: EntryKind, what: _Taking, fields: dict[str, object]
) -> AppendAnswer:
    state = msgspec.json.encode(fields)[:-1]
    answer = await committer.append(
        Entry(kind, what.debit_id.bytes, what.account_id.bytes, what.amount, state)
    )
    if answer.code == AppendCode.IDEMPOTENCY_KEY_REUSED:
        message = (
            f"the idempotency key {what.debit_key!r} is of another debit: nothing was taken now. "
            "Use a new key for a new one"
        )
        raise DebitKeyReusedError(message)
    return answer
