"""A ledger in memory that decides by the same rules as the store, for tests.

`ModelLedger` takes the commands of the store's append one at a time, decides each, and folds
the events it made into `domain.ledger.state.LedgerState`. Tests drive it and the real store
with the same commands and compare answers, events and balances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.events import ledger as ev
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
    OWED_WITHOUT_HOLDS_NANO_USD,
    entry_amount_is_possible,
)
from domain.ledger.claims import (
    INSUFFICIENT_CREDITS,
    QUOTA_EXCEEDED,
    barred_beyond,
    room_for_hold,
    room_for_more,
)
from domain.ledger.holds import HoldState
from domain.ledger.keys import CALL_EXISTS, KEY_REUSED, answer_of_key, named_key, without_old_keys
from domain.ledger.lots import NEVER, PRIORITY, GrantKind, Lot
from domain.ledger.model.adjustments import ModelAdjustments
from domain.ledger.model.log import ACCOUNT_FULL, ALREADY_RESOLVED, OK, OUT_OF_RANGE
from domain.ledger.resolution import lot_part, resolution
from domain.pricing.money import ENTRY_NANO_USD_MAX
from domain.quotas.terms import ENTRY_TOKENS_MAX, Claim, tokens_of
from domain.quotas.windows import UTC

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from domain.events.quotas import QuotaEvent
    from domain.ledger.claims import Zones
    from domain.ledger.state import Hold

PRICE = {"version": "model"}


@dataclass
class ModelLedger(ModelAdjustments):
    """The pure ledger. Instants are ISO 8601 UTC strings with microseconds."""

    grants: dict[str, tuple[str | int | None, ...]] = field(default_factory=dict)
    zones: Zones = field(default=lambda _: UTC)
    lacking: str = ""
    """The quota that the last refusal named."""
    spare: int = 0
    """What the last hold or extension left, or found, for such a call, in nano-USD."""

    def grant(
        self,
        account_id: str,
        lot_id: str,
        kind: str,
        amount: int,
        expires_at: str | None,
        limits: dict[str, int] | None = None,
        now: str = "",
    ) -> str:
        """Give credits; the same lot again changes nothing, and is no other grant."""
        if not 0 < amount <= GRANT_NANO_USD_MAX:
            return OUT_OF_RANGE
        given = (account_id, kind, amount, None if kind == GrantKind.TRIAL else expires_at)
        if lot_id in self.grants:
            return OK if self.grants[lot_id] == given else KEY_REUSED
        if self.state.account(account_id).granted + amount > ACCOUNT_GRANTED_NANO_USD_MAX:
            return ACCOUNT_FULL
        self.grants[lot_id] = given
        granted = self._append(
            ev.CreditsGranted(
                **self._account_stream(account_id),
                lot_id=lot_id,
                kind=kind,
                priority=PRIORITY[GrantKind(kind)],
                amount_nano_usd=amount,
                expires_at=expires_at,
                limits=limits,
            )
        )
        self._pay_owed(account_id, now, granted)
        return OK

    def set_quota(self, event: QuotaEvent) -> None:
        """A quota is set or removed, as the store's library saves it."""
        self.state.apply(event)

    def hold(  # noqa: PLR0911, PLR0913 - each answer of the store has its reason.
        self,
        call_id: str,
        account_id: str,
        amount: int,
        now: str,
        *,
        estimated_cost: int = 0,
        key: tuple[str, str] | None = None,
        event_id: str = "-",
        follows: str | None = None,
        tokens: int = 0,
        scopes: tuple[str, ...] = ("-", "-"),
        asks_again: bool = False,
    ) -> str:
        """Reserve credits for a call of a key and a user (`scopes`).

        Again only when it names what ended it. A key that is refused stays so, but `asks_again`.
        """
        if not (entry_amount_is_possible(amount, estimated_cost) and tokens_possible(tokens)):
            return OUT_OF_RANGE
        before = self._hold_state(call_id)
        if before not in (HoldState.NONE, HoldState.VOIDED, HoldState.EXPIRED):
            return CALL_EXISTS
        if before is not HoldState.NONE and follows != self._end_of(call_id).id:
            return CALL_EXISTS
        known = self.state.idempotency.get(key[0]) if key else None
        if key and known and (answer := answer_of_key(known, key[1], call_id)):
            return answer
        account = self.state.account(account_id)
        self._book_expiry(account, now)
        claim = Claim(1, tokens, amount)
        room = room_for_hold(self.state.quotas, account, set(scopes), claim, now, self.zones)
        self.lacking, self.spare = room.lacking, room.spare
        if room.answer == QUOTA_EXCEEDED:
            return room.answer
        owing = account.owed > OWED_WITHOUT_HOLDS_NANO_USD
        requested = {
            **self._call_stream(call_id, account_id, follows),
            "id": event_id,
            "user_id": scopes[1],
            "key_id": scopes[0],
            "provider": "-",
            "model": "-",
            "amount_nano_usd": amount,
            "estimated_cost_nano_usd": estimated_cost,
            "input_tokens_bound": tokens,
            "output_tokens_bound": 0,
            "stream_reply": False,
            "price": PRICE,
            "idempotency": named_key(*key, asks_again=asks_again) if key else None,
        }
        if room.answer or owing:
            if key and not asks_again:
                self._append(
                    ev.HoldRefused(
                        **{**self._call_stream(call_id, account_id), "id": event_id},
                        amount_nano_usd=amount,
                        available_nano_usd=room.spare,
                        key_hash=ev.hex_to_base64(key[0]),
                        digest=ev.hex_to_base64(key[1]),
                    )
                )
            return INSUFFICIENT_CREDITS
        bound_by = {part["quota_id"]: part["begins"] for part in room.quotas}
        requested["held_tokens"] = tokens if bound_by else None
        requested["lots"] = [lot_part(lot, n) for lot, n in room.lots]
        self._append(ev.HoldPlaced(**requested, bound_by=bound_by))
        self.spare -= amount
        return OK

    def extend(
        self, call_id: str, amount: int, now: str, *, follows: str | None = None, tokens: int = 0
    ) -> str:
        """Reserve more for a call in flight; `follows` is the event of its hold, if it says."""
        if not (entry_amount_is_possible(amount) and tokens_possible(tokens)):
            return OUT_OF_RANGE
        hold = self._open(call_id, follows)
        if hold is None:
            return self._unresolvable(call_id, follows)
        if hold.amount + amount > ENTRY_NANO_USD_MAX:
            return OUT_OF_RANGE
        account = self.state.account(hold.account_id)
        self._book_expiry(account, now)
        claim = Claim(0, tokens, amount)
        room = room_for_more(self.state.quotas, account, hold, claim, now)
        self.lacking, self.spare = room.lacking, room.spare
        if room.answer:
            return room.answer
        self._append(
            ev.HoldExtended(
                **self._call_stream(call_id, hold.account_id, follows),
                amount_nano_usd=amount,
                lots=[lot_part(lot, n) for lot, n in room.lots],
                quotas=room.quotas,
            )
        )
        self.spare -= amount
        return OK

    def settle(
        self,
        call_id: str,
        cost: int,
        now: str,
        *,
        event_id: str = "-",
        follows: str | None = None,
        usage: Mapping[str, int] | None = None,
    ) -> str:
        """Charge a call and release the rest; above the hold, take from what is available."""
        if not entry_amount_is_possible(cost):
            return OUT_OF_RANGE
        hold = self._open(call_id, follows)
        if hold is None:
            answer = self._unresolvable(call_id, follows)
            if answer == ALREADY_RESOLVED:
                self._book_late(call_id, cost, follows)
            return answer
        usage = dict(usage or {})
        figures = self._resolve(hold, cost, now, tokens_of(usage))
        settled = self._append(
            ev.HoldSettled(
                **{**self._call_stream(call_id, hold.account_id, follows), "id": event_id},
                **figures,
                usage=usage,
                cost_nano_usd=cost,
                cost_exact_nano_usd=str(cost),
                price_version="model",
                provider="-",
                model="-",
            )
        )
        self._pay_owed(hold.account_id, now, settled)
        return OK

    def void(
        self, call_id: str, now: str, *, event_id: str = "-", follows: str | None = None
    ) -> str:
        """Release a call's hold without a charge."""
        hold = self._open(call_id, follows)
        if hold is None:
            return self._unresolvable(call_id, follows)
        figures = self._resolve(hold, 0, now)
        stream = {**self._call_stream(call_id, hold.account_id, follows), "id": event_id}
        voided = self._append(ev.HoldVoided(**stream, **figures))
        self._pay_owed(hold.account_id, now, voided)
        return OK

    def expire(self, call_id: str, estimated_cost: int, now: str, *, event_id: str = "-") -> str:
        """Release a dead owner's hold; the estimated cost is house loss."""
        hold = self.state.open_holds.get(call_id)
        if hold is None:
            return self._unresolvable(call_id, None)
        figures = self._resolve(hold, 0, now)
        figures["house_loss_nano_usd"] = estimated_cost
        stream = {**self._call_stream(call_id, hold.account_id), "id": event_id}
        expired = self._append(ev.HoldExpired(**stream, **figures))
        self._pay_owed(hold.account_id, now, expired)
        return OK

    def _resolve(
        self, hold: Hold, cost: int, now: str, tokens: int | None = None
    ) -> dict[str, Any]:
        account = self.state.account(hold.account_id)
        self._book_expiry(account, now)
        book, lots = self.state.quotas, {part["lot_id"] for part in hold.parts}
        barred = barred_beyond(book, account, hold)
        figures = resolution(hold, account, cost, now, barred)
        claim = Claim()
        if tokens is not None:
            claim = Claim(1, tokens, figures["settled_nano_usd"])
        return {**figures, "quotas": book.named_uses(hold.quotas, claim, lots)}

    def _book_late(self, call_id: str, cost: int, follows: str | None) -> None:
        """Book what the hold's end, and late outcomes of the same hold, did not book yet."""
        events = self._events_of(call_id)
        begun = 0
        if follows is not None:
            begun = next(n for n, event in enumerate(events) if event.id == follows)
        ends = [n for n, event in enumerate(events) if isinstance(event, ev.HoldResolved)]
        end = ends[-1] if follows is None else next(n for n in ends if n > begun)
        resolved = events[end]
        assert isinstance(resolved, ev.HoldResolved)
        booked = resolved.house_loss_nano_usd + sum(
            event.house_loss_nano_usd
            for event in events[end:]
            if isinstance(event, ev.HouseLossBooked) and follows in {None, event.causation_id}
        )
        self._append(
            ev.HouseLossBooked(
                **self._call_stream(call_id, resolved.account_id, follows),
                cost_nano_usd=cost,
                house_loss_nano_usd=cost - booked,
            )
        )

    def available_at(self, account_id: str, now: str) -> int:
        """What can be spent at an instant, lots that expired unbooked left out."""
        lots: Sequence[Lot] = list(self.state.account(account_id).lots.values())
        return sum(lot.available for lot in lots if lot.expires_at == NEVER or lot.counts_at(now))

    def prune(self, event_ids: Container[str]) -> None:
        """Forget the keys that were last asked for by these events."""
        self.state.idempotency = without_old_keys(self.state.idempotency, self.log, event_ids)


def tokens_possible(tokens: int) -> bool:
    """Whether a hold can be for so many tokens."""
    return 0 <= tokens <= ENTRY_TOKENS_MAX
