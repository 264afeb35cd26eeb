"""A ledger in memory that decides by the same rules as the store, for tests.

`ModelLedger` takes the commands of the store's append one at a time, decides each, and folds
the events it made into `domain.ledger.state.LedgerState`. Tests drive it and the real store
with the same commands and compare answers, events and balances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events import ledger as ev
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    ENTRY_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
    entry_amount_is_possible,
)
from domain.ledger.holds import HoldState
from domain.ledger.lots import NEVER, PRIORITY, GrantKind, Lot, burn_down
from domain.ledger.state import Account, Hold, LedgerState, parts_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = "ok"
INSUFFICIENT_CREDITS = "insufficient_credits"
ALREADY_RESOLVED = "already_resolved"
UNKNOWN_CALL = "unknown_call"
CALL_EXISTS = "call_exists"
KEY_REUSED = "idempotency_key_reused"
KEY_IN_PROGRESS = "idempotency_in_progress"
KEY_SETTLED = "idempotency_settled"
KEY_REFUSED = "idempotency_refused"
OUT_OF_RANGE = "amount_out_of_range"
ACCOUNT_FULL = "account_full"

ENVELOPE: dict[str, Any] = {"id": "-", "effective_at": "-", "actor": "-", "correlation_id": "-"}
PRICE = {"version": "model"}


def _part(lot: Lot, amount: int) -> ev.LotPart:
    return {"lot_id": lot.lot_id, "amount_nano_usd": amount}


@dataclass
class ModelLedger:
    """The pure ledger. Instants are ISO 8601 UTC strings with microseconds."""

    state: LedgerState = field(default_factory=LedgerState)
    log: list[ev.MoneyEvent] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    grants: set[str] = field(default_factory=set)

    def grant(
        self, account_id: str, lot_id: str, kind: str, amount: int, expires_at: str | None
    ) -> str:
        """Give credits; the same lot again changes nothing."""
        if not 0 < amount <= GRANT_NANO_USD_MAX:
            return OUT_OF_RANGE
        if lot_id in self.grants:
            return OK
        if self.state.account(account_id).granted + amount > ACCOUNT_GRANTED_NANO_USD_MAX:
            return ACCOUNT_FULL
        self.grants.add(lot_id)
        self._append(
            ev.CreditsGranted(
                **self._account_stream(account_id),
                lot_id=lot_id,
                kind=kind,
                priority=PRIORITY[GrantKind(kind)],
                amount_nano_usd=amount,
                expires_at=expires_at,
            )
        )
        return OK

    def hold(
        self,
        call_id: str,
        account_id: str,
        amount: int,
        now: str,
        *,
        estimated_cost: int = 0,
        key: tuple[str, str] | None = None,
    ) -> str:
        """Reserve credits for a call."""
        if not entry_amount_is_possible(amount, estimated_cost):
            return OUT_OF_RANGE
        before = self._hold_state(call_id)
        if before not in (HoldState.NONE, HoldState.VOIDED, HoldState.EXPIRED):
            return CALL_EXISTS
        if key and (answer := self._key_answer(key, call_id)):
            return answer
        account = self.state.account(account_id)
        self._book_expiry(account, now)
        parts = burn_down(account.lots.values(), amount, now)
        requested = {
            **self._call_stream(call_id, account_id),
            "user_id": "-",
            "key_id": "-",
            "provider": "-",
            "model": "-",
            "amount_nano_usd": amount,
            "estimated_cost_nano_usd": estimated_cost,
            "input_tokens_bound": 0,
            "output_tokens_bound": 0,
            "stream_reply": False,
            "price": PRICE,
            "idempotency": {"key_hash": key[0], "digest": key[1]} if key else None,
        }
        if parts is None:
            if key:
                self._append(ev.HoldRefused(**requested, available_nano_usd=account.available))
            return INSUFFICIENT_CREDITS
        self._append(ev.HoldPlaced(**requested, lots=[_part(lot, n) for lot, n in parts]))
        return OK

    def extend(self, call_id: str, amount: int, now: str) -> str:
        """Reserve more for a call in flight."""
        if not entry_amount_is_possible(amount):
            return OUT_OF_RANGE
        hold = self.state.open_holds.get(call_id)
        if hold is None:
            return self._unresolvable(call_id)
        if hold.amount + amount > ENTRY_NANO_USD_MAX:
            return OUT_OF_RANGE
        account = self.state.account(hold.account_id)
        self._book_expiry(account, now)
        parts = burn_down(account.lots.values(), amount, now)
        if parts is None:
            return INSUFFICIENT_CREDITS
        self._append(
            ev.HoldExtended(
                **self._call_stream(call_id, hold.account_id),
                amount_nano_usd=amount,
                lots=[_part(lot, n) for lot, n in parts],
            )
        )
        return OK

    def settle(self, call_id: str, cost: int, now: str) -> str:
        """Charge a call and release the rest; above the hold, take from what is available."""
        if not entry_amount_is_possible(cost):
            return OUT_OF_RANGE
        hold = self.state.open_holds.get(call_id)
        if hold is None:
            answer = self._unresolvable(call_id)
            if answer == ALREADY_RESOLVED:
                self._book_late(call_id, cost)
            return answer
        figures = self._resolve(hold, cost, now)
        self._append(
            ev.HoldSettled(
                **self._call_stream(call_id, hold.account_id),
                **figures,
                usage={},
                cost_nano_usd=cost,
                cost_exact_nano_usd=str(cost),
                price_version="model",
                provider="-",
                model="-",
            )
        )
        return OK

    def void(self, call_id: str, now: str) -> str:
        """Release a call's hold without a charge."""
        hold = self.state.open_holds.get(call_id)
        if hold is None:
            return self._unresolvable(call_id)
        figures = self._resolve(hold, 0, now)
        self._append(ev.HoldVoided(**self._call_stream(call_id, hold.account_id), **figures))
        return OK

    def expire(self, call_id: str, estimated_cost: int, now: str) -> str:
        """Release a dead owner's hold; the estimated cost is house loss."""
        hold = self.state.open_holds.get(call_id)
        if hold is None:
            return self._unresolvable(call_id)
        figures = self._resolve(hold, 0, now)
        figures["house_loss_nano_usd"] = estimated_cost
        self._append(ev.HoldExpired(**self._call_stream(call_id, hold.account_id), **figures))
        return OK

    def _resolve(self, hold: Hold, cost: int, now: str) -> dict[str, Any]:
        account = self.state.account(hold.account_id)
        self._book_expiry(account, now)
        spent: list[ev.LotPart] = []
        released: list[ev.LotPart] = []
        forfeited: list[ev.LotPart] = []
        left = cost
        for part in hold.parts:
            lot = account.lots[part["lot_id"]]
            take = min(left, part["amount_nano_usd"])
            rest = part["amount_nano_usd"] - take
            left -= take
            if take:
                spent.append(_part(lot, take))
            if rest:
                (released if lot.counts_at(now) else forfeited).append(_part(lot, rest))
        back = parts_sum(released)
        beyond = burn_down(account.lots.values(), min(left, account.available), now) or []
        extra = [_part(lot, amount) for lot, amount in beyond]
        left -= parts_sum(extra)
        return {
            "held_nano_usd": hold.amount,
            "settled_nano_usd": cost - left,
            "released_nano_usd": back,
            "breakage_nano_usd": parts_sum(forfeited),
            "house_loss_nano_usd": left,
            "lots": spent,
            "released_lots": released,
            "forfeited_lots": forfeited,
            "beyond_lots": extra,
        }

    def _book_late(self, call_id: str, cost: int) -> None:
        event = next(e for e in reversed(self.log) if str(e.originator_id) == call_id)
        booked = self.state.closed[call_id][2]
        self._append(
            ev.HouseLossBooked(
                **self._call_stream(call_id, event.account_id),
                cost_nano_usd=cost,
                house_loss_nano_usd=cost - booked,
            )
        )

    def _book_expiry(self, account: Account, now: str) -> None:
        for lot in sorted(account.lots.values(), key=Lot.burn_order):
            if lot.available > 0 and not lot.counts_at(now):
                self._append(
                    ev.LotExpired(
                        **{
                            **self._account_stream(account.account_id),
                            "effective_at": lot.expires_at,
                        },
                        lot_id=lot.lot_id,
                        breakage_nano_usd=lot.available,
                    )
                )

    def available_at(self, account_id: str, now: str) -> int:
        """What can be spent at an instant, lots that expired unbooked left out."""
        lots: Sequence[Lot] = list(self.state.account(account_id).lots.values())
        return sum(lot.available for lot in lots if lot.expires_at == NEVER or lot.counts_at(now))

    def _key_answer(self, key: tuple[str, str], call_id: str) -> str | None:
        known = self.state.idempotency.get(key[0])
        if known is None:
            return None
        digest, first_call, state = known
        if digest != key[1]:
            return KEY_REUSED
        answers = {
            HoldState.HELD: KEY_IN_PROGRESS,
            HoldState.SETTLED: KEY_SETTLED,
            HoldState.REFUSED: KEY_REFUSED,
        }
        return answers.get(state) or (None if first_call == call_id else CALL_EXISTS)

    def _hold_state(self, call_id: str) -> HoldState:
        if call_id in self.state.open_holds:
            return HoldState.HELD
        return self.state.closed.get(call_id, (HoldState.NONE, 0, 0))[0]

    def _unresolvable(self, call_id: str) -> str:
        closed = self._hold_state(call_id) in (
            HoldState.SETTLED,
            HoldState.VOIDED,
            HoldState.EXPIRED,
        )
        return ALREADY_RESOLVED if closed else UNKNOWN_CALL

    def _account_stream(self, account_id: str) -> dict[str, Any]:
        return {
            **ENVELOPE,
            "originator_id": UUID(account_id),
            "originator_version": self.versions.get(account_id, 0) + 1,
            "account_id": account_id,
        }

    def _call_stream(self, call_id: str, account_id: str) -> dict[str, Any]:
        return {**self._account_stream(call_id), "account_id": account_id}

    def _append(self, event: ev.MoneyEvent) -> None:
        self.log.append(event)
        self.versions[str(event.originator_id)] = event.originator_version
        self.state.apply(event, position=len(self.log))
