"""What a ledger in memory remembers: its log, its streams' versions, and the state they imply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events import ledger as ev
from domain.ledger.holds import HoldState
from domain.ledger.lots import Lot
from domain.ledger.state import LedgerState

if TYPE_CHECKING:
    from domain.ledger.accounts import Account
    from domain.ledger.state import Hold

OK = "ok"
OUT_OF_RANGE = "amount_out_of_range"
ACCOUNT_FULL = "account_full"
ALREADY_RESOLVED = "already_resolved"
UNKNOWN_CALL = "unknown_call"
ENVELOPE: dict[str, Any] = {"id": "-", "effective_at": "-", "actor": "-", "correlation_id": "-"}


@dataclass
class ModelLog:
    """The log of `domain.ledger.model.ledger.ModelLedger`, and what it asks of it."""

    state: LedgerState = field(default_factory=LedgerState)
    log: list[ev.MoneyEvent] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    def _hold_state(self, call_id: str) -> HoldState:
        if call_id in self.state.open_holds:
            return HoldState.HELD
        return self.state.closed.get(call_id, (HoldState.NONE, 0, 0))[0]

    def _open(self, call_id: str, follows: str | None) -> Hold | None:
        """The open hold that an entry is of; one that does not say is of any."""
        hold = self.state.open_holds.get(call_id)
        return hold if hold and follows in {None, hold.event_id} else None

    def _unresolvable(self, call_id: str, follows: str | None) -> str:
        if follows is not None:
            placed = [each for each in self._events_of(call_id) if isinstance(each, ev.HoldPlaced)]
            known = any(event.id == follows for event in placed)
            return ALREADY_RESOLVED if known else UNKNOWN_CALL
        closed = self._hold_state(call_id) in (
            HoldState.SETTLED,
            HoldState.VOIDED,
            HoldState.EXPIRED,
        )
        return ALREADY_RESOLVED if closed else UNKNOWN_CALL

    def _events_of(self, call_id: str) -> list[ev.MoneyEvent]:
        return [event for event in self.log if str(event.originator_id) == call_id]

    def _end_of(self, call_id: str) -> ev.MoneyEvent:
        """The last resolution of a call."""
        return [e for e in self._events_of(call_id) if isinstance(e, ev.HoldResolved)][-1]

    def _account_stream(self, account_id: str) -> dict[str, Any]:
        return {
            **ENVELOPE,
            "originator_id": UUID(account_id),
            "originator_version": self.versions.get(account_id, 0) + 1,
            "account_id": account_id,
        }

    def _call_stream(
        self, call_id: str, account_id: str, follows: str | None = None
    ) -> dict[str, Any]:
        stream = self._account_stream(call_id)
        return {**stream, "account_id": account_id, "causation_id": follows}

    def _append(self, event: ev.MoneyEvent) -> ev.MoneyEvent:
        self.log.append(event)
        self.versions[str(event.originator_id)] = event.originator_version
        self.state.apply(event, position=len(self.log))
        return event

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
