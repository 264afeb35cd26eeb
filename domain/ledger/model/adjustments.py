"""Debits, transfers and corrections, and how an account pays what it owes (rules 15 to 17)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.events import ledger as ev
from domain.ledger.adjustments import charge_of, give_back, movable
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    ACCOUNT_OWED_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
    TRANSFER_LOTS_MAX,
    entry_amount_is_possible,
)
from domain.ledger.claims import INSUFFICIENT_CREDITS
from domain.ledger.keys import KEY_REUSED
from domain.ledger.lots import NEVER, DebitKind, parts_sum, take_back
from domain.ledger.model.log import (
    ACCOUNT_FULL,
    OK,
    OUT_OF_RANGE,
    UNKNOWN_CALL,
    ModelLog,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.events.ledger import LotPart
    from domain.ledger.accounts import Account


@dataclass
class ModelAdjustments(ModelLog):
    """The entries that are no call's and no grant's."""

    debits: dict[str, tuple[str | int | None, ...]] = field(default_factory=dict)
    lot_of_transfer: Callable[[str, str], str] = field(
        default=lambda transfer, lot: f"{transfer} {lot}"
    )
    """The id of the lot that a transfer makes of another."""

    def debit(
        self,
        account_id: str,
        debit_id: str,
        kind: str,
        amount: int,
        now: str,
        *,
        lot_id: str | None = None,
    ) -> str:
        """Take credits back; what is not there is owed. The same debit again changes nothing."""
        if not 0 < amount <= GRANT_NANO_USD_MAX:
            return OUT_OF_RANGE
        if answer := self._debited_before(debit_id, (account_id, kind, amount, None)):
            return answer
        account = self.state.account(account_id)
        if account.owed + amount > ACCOUNT_OWED_NANO_USD_MAX:
            return ACCOUNT_FULL
        self._book_expiry(account, now)
        parts = take_back(account.lots.values(), amount, now, lot_id or "")
        self._debited(account_id, debit_id, kind, amount, parts, lot_id=lot_id)
        return OK

    def close(self, account_id: str, lot_id: str, now: str) -> str:
        """A lot ends at once: what is left of it expires. One that is at its end stays as it is."""
        account = self.state.account(account_id)
        self._book_expiry(account, now)
        lot = account.lots.get(lot_id)
        if lot is None or not lot.available + lot.held or not lot.counts_at(now):
            return OK
        stream = {**self._account_stream(account_id), "effective_at": now}
        self._append(ev.LotExpired(**stream, lot_id=lot_id, breakage_nano_usd=lot.available))
        return OK

    def transfer(
        self, account_id: str, debit_id: str, to_account_id: str, amount: int, now: str
    ) -> str:
        """Move credits to another account: all or nothing, and no trial's."""
        if not 0 < amount <= GRANT_NANO_USD_MAX or account_id == to_account_id:
            return OUT_OF_RANGE
        given = (account_id, DebitKind.TRANSFER, amount, to_account_id)
        if answer := self._debited_before(debit_id, given):
            return answer
        account, other = self.state.account(account_id), self.state.account(to_account_id)
        if other.granted + amount > ACCOUNT_GRANTED_NANO_USD_MAX:
            return ACCOUNT_FULL
        self._book_expiry(account, now)
        parts = take_back(movable(account)[:TRANSFER_LOTS_MAX], amount, now)
        if parts_sum(parts) < amount:
            return INSUFFICIENT_CREDITS
        to = {"to_account_id": to_account_id}
        debited = self._debited(account_id, debit_id, DebitKind.TRANSFER, amount, parts, **to)
        for part in parts:
            self._received(account, to_account_id, debited, part)
        self._pay_owed(to_account_id, now, debited)
        return OK

    def correct(
        self, call_id: str, account_id: str, cost: int, version: str, lot_id: str, now: str
    ) -> str:
        """Charge a settled call what it costs by another price version, once for each."""
        if not entry_amount_is_possible(cost):
            return OUT_OF_RANGE
        events = self._events_of(call_id)
        charge = charge_of(events)
        if charge is None or events[0].account_id != account_id:
            return UNKNOWN_CALL
        for event in events:
            if isinstance(event, ev.ChargeCorrected) and event.price_version == version:
                return OK if event.cost_nano_usd == cost else KEY_REUSED
        account = self.state.account(account_id)
        self._book_expiry(account, now)
        back, more = charge.back(cost), charge.more(cost)
        given = give_back(account, charge, back, now)
        taken = take_back(account.lots.values(), more, now)
        corrected = self._append(
            ev.ChargeCorrected(
                **self._call_stream(call_id, account_id),
                price_version=version,
                cost_nano_usd=cost,
                lot_id=lot_id,
                returned_nano_usd=back,
                renewed_nano_usd=given.renewed,
                taken_nano_usd=parts_sum(taken),
                owed_nano_usd=more - parts_sum(taken),
                lots=taken,
                returned_lots=given.returned,
                renewed_lots=given.renewed_lots,
            )
        )
        self._pay_owed(account_id, now, corrected)
        return OK

    def _debited_before(self, debit_id: str, given: tuple[str | int | None, ...]) -> str | None:
        known = self.debits.get(debit_id)
        if known is None:
            return None
        return OK if known == given else KEY_REUSED

    def _debited(
        self,
        account_id: str,
        debit_id: str,
        kind: str,
        amount: int,
        parts: list[LotPart],
        **named: str | None,
    ) -> ev.CreditsDebited:
        self.debits[debit_id] = (account_id, kind, amount, named.get("to_account_id"))
        taken = parts_sum(parts)
        more: dict[str, Any] = named
        made = ev.CreditsDebited(
            **self._account_stream(account_id),
            debit_id=debit_id,
            kind=kind,
            amount_nano_usd=amount,
            taken_nano_usd=taken,
            owed_nano_usd=amount - taken,
            lots=parts,
            **more,
        )
        self._append(made)
        return made

    def _received(
        self, account: Account, to_account_id: str, debited: ev.CreditsDebited, part: LotPart
    ) -> None:
        """A part of another account's lot becomes a lot here: of its kind, priority and expiry."""
        lot = account.lots[part["lot_id"]]
        stream = {**self._account_stream(to_account_id), "causation_id": debited.id}
        self._append(
            ev.CreditsGranted(
                **stream,
                lot_id=self.lot_of_transfer(debited.debit_id, lot.lot_id),
                kind=lot.kind,
                priority=lot.priority,
                amount_nano_usd=part["amount_nano_usd"],
                expires_at=None if lot.expires_at == NEVER else lot.expires_at,
                transfer_id=debited.debit_id,
                from_account_id=account.account_id,
            )
        )

    def _pay_owed(self, account_id: str, now: str, cause: ev.MoneyEvent) -> None:
        """Whatever came pays first for what is owed."""
        account = self.state.account(account_id)
        if not account.owed:
            return
        self._book_expiry(account, now)
        parts = take_back(account.lots.values(), account.owed, now)
        if parts:
            stream = {**self._account_stream(account_id), "causation_id": cause.id}
            paid = parts_sum(parts)
            self._append(ev.ReceivablePaid(**stream, amount_nano_usd=paid, lots=parts))
