"""The state that the log implies: accounts, lots and open holds, folded event by event.

This is the replay of `ledger verify`: it applies what the events say, and refuses an event
that breaks a promise (P1, P2, P4). It does not decide; deciding is the store's append, and
`domain.ledger.model.ledger.ModelLedger` in tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidTransitionError
from domain.events.ledger import (
    CallEvent,
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExpired,
    HoldExtended,
    HoldPlaced,
    HoldRefused,
    HoldResolved,
    HoldSettled,
    HoldVoided,
    HouseLossBooked,
    LotExpired,
    LotPart,
    MoneyEvent,
    QuotaPart,
    ReceivablePaid,
)
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.ledger.accounts import Account
from domain.ledger.adjustments import correct, take
from domain.ledger.holds import HoldMove, HoldState, next_state
from domain.ledger.lots import NEVER, Lot, parts_sum
from domain.ledger.postings import postings_of
from domain.quotas.book import QuotaBook
from domain.quotas.terms import ENTRY_TOKENS_MAX, Claim, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from domain.events.base import Event

MOVES: dict[type[Event], HoldMove] = {
    HoldPlaced: HoldMove.PLACE,
    HoldRefused: HoldMove.REFUSE,
    HoldExtended: HoldMove.EXTEND,
    HoldSettled: HoldMove.SETTLE,
    HoldVoided: HoldMove.VOID,
    HoldExpired: HoldMove.EXPIRE,
    HouseLossBooked: HoldMove.BOOK_LATE,
    ChargeCorrected: HoldMove.CORRECT,
}


@dataclass(slots=True)
class Hold:
    """A call's hold, named by the event that placed it.

    `parts` are the lots it lies on, in burn-down order.
    """

    event_id: str
    call_id: str
    account_id: str
    state: HoldState
    amount: int
    version: int
    parts: list[LotPart] = field(default_factory=list)
    quotas: list[QuotaPart] = field(default_factory=list)
    house_loss: int = 0
    idempotency: dict[str, str] | None = None
    refused_available: int = 0


class Closed(NamedTuple):
    """A call without an open hold: how it ended, its stream's version, the loss booked since."""

    state: HoldState = HoldState.NONE
    version: int = 0
    house_loss: int = 0


NEW = Closed()
"""A call that nothing is known of."""


def closed_by(events: Iterable[Event]) -> Closed:
    """Where the events of one call's stream leave it; raises InvalidTransitionError."""
    found = NEW
    for event in events:
        after = next_state(found.state, MOVES[type(event)])
        loss = 0
        if isinstance(event, HoldResolved | HouseLossBooked):
            loss = event.house_loss_nano_usd
        if isinstance(event, HouseLossBooked | ChargeCorrected):
            loss += found.house_loss
        found = Closed(after, event.originator_version, loss)
    return found


@dataclass(slots=True)
class LedgerState:
    """All accounts and holds after the events applied so far."""

    accounts: dict[str, Account] = field(default_factory=dict)
    open_holds: dict[str, Hold] = field(default_factory=dict)
    closed: dict[str, Closed] = field(default_factory=dict)
    """By call id; whoever folds a long log may empty it, if `recall` knows what was there."""
    recall: Callable[[str], Closed] = field(default=lambda _: NEW)
    """Asked of a call that is neither open nor in `closed`, and whose stream has begun."""
    idempotency: dict[str, tuple[str, str, HoldState]] = field(default_factory=dict)
    """Key hash → input digest, call id, state of the call's hold."""
    trial_balance: dict[str, int] = field(default_factory=dict)
    quotas: QuotaBook = field(default_factory=QuotaBook)

    def account(self, account_id: str) -> Account:
        """The account, opened on first sight."""
        if account_id not in self.accounts:
            self.accounts[account_id] = Account(account_id)
        return self.accounts[account_id]

    def apply(self, event: Event, position: int = 0) -> None:
        """Fold one event; raises InvalidTransitionError when it breaks a promise."""
        if isinstance(event, QuotaSet):
            self.account(event.account_id)
            self.quotas.set(event)
        elif isinstance(event, QuotaRemoved):
            self.quotas.remove(str(event.originator_id))
        if not isinstance(event, MoneyEvent):
            return
        for posting in postings_of(event):
            balance = self.trial_balance.get(posting.account, 0)
            self.trial_balance[posting.account] = balance + posting.amount_nano_usd
        match event:
            case CreditsGranted():
                self._granted(event, position)
            case LotExpired():
                self._lot_expired(event)
            case CreditsDebited() | ReceivablePaid():
                take(self.account(event.account_id), event)
            case CallEvent():
                self._call(event, position)
            case _:
                message = f"no rule folds {event.TOPIC}"
                raise InvalidTransitionError(message)
        self.account(event.account_id).check()

    def trial_balance_sum(self) -> int:
        """Zero at every position (P4)."""
        return sum(self.trial_balance.values())

    def _granted(self, event: CreditsGranted, position: int) -> None:
        account = self.account(event.account_id)
        if event.lot_id in account.lots:
            message = f"lot {event.lot_id} was granted before"
            raise InvalidTransitionError(message)
        account.granted += event.amount_nano_usd
        account.available += event.amount_nano_usd
        account.add(
            Lot(
                lot_id=event.lot_id,
                kind=event.kind,
                priority=event.priority,
                expires_at=event.expires_at or NEVER,
                sequence=position,
                available=event.amount_nano_usd,
            )
        )
        self.quotas.granted(event)

    def _lot_expired(self, event: LotExpired) -> None:
        account = self.account(event.account_id)
        account.available -= event.breakage_nano_usd
        account.breakage += event.breakage_nano_usd
        expired = LotPart(lot_id=event.lot_id, amount_nano_usd=event.breakage_nano_usd)
        lot = account.move(expired, available=-1)
        lot.expires_at = min(lot.expires_at, event.effective_at)

    def _call(self, event: CallEvent, position: int) -> None:
        call_id = str(event.originator_id)
        hold = self.open_holds.get(call_id)
        ended = NEW
        if hold:
            before, version = hold.state, hold.version
        else:
            ended = self._ended(call_id, event.originator_version)
            before, version = ended.state, ended.version
        after = next_state(before, MOVES[type(event)])
        if event.originator_version != version + 1:
            message = f"call {call_id}: version {event.originator_version} follows {version}"
            raise InvalidTransitionError(message)
        match event:
            case HoldPlaced():
                self._placed(event, call_id)
            case HoldExtended() if hold:
                self._reserve(event.account_id, event.amount_nano_usd, event.lots)
                hold.amount += event.amount_nano_usd
                hold.parts = hold.parts + event.lots
                self.quotas.reserve(event.quotas, Claim(nano_usd=event.amount_nano_usd))
                hold.quotas = with_more(hold.quotas, event.quotas)
                hold.version += 1
            case HoldResolved() if hold:
                self._resolved(event, hold, after)
            case HouseLossBooked():
                self.account(event.account_id).house_loss += event.house_loss_nano_usd
                if hold:
                    hold.version += 1
                else:
                    loss = ended.house_loss + event.house_loss_nano_usd
                    self.closed[call_id] = Closed(after, event.originator_version, loss)
            case ChargeCorrected():
                correct(self.account(event.account_id), event, position)
                self.closed[call_id] = Closed(after, event.originator_version, ended.house_loss)
            case HoldRefused():
                self.closed[call_id] = Closed(after, event.originator_version)
                key_hash, digest = event.key
                self.idempotency[key_hash] = (digest, call_id, after)
            case _:
                message = f"no rule folds {event.TOPIC} where no hold is open"
                raise InvalidTransitionError(message)

    def _ended(self, call_id: str, version: int) -> Closed:
        """How a call without an open hold stands before its event of this version."""
        known = self.closed.get(call_id)
        if known is None:
            known = self.recall(call_id) if version > 1 else NEW
        return known

    def _placed(self, event: HoldPlaced, call_id: str) -> None:
        self._reserve(event.account_id, event.amount_nano_usd, event.lots)
        tokens = min(event.input_tokens_bound + event.output_tokens_bound, ENTRY_TOKENS_MAX)
        held = tokens if event.held_tokens is None else event.held_tokens
        if held < tokens:
            message = f"call {call_id}: {held} tokens are held, {tokens} were asked for"
            raise InvalidTransitionError(message)
        claim = Claim(1, held, event.amount_nano_usd)
        quotas = [*event.quotas, *self.quotas.parts(event.bound_by, claim)]
        self.quotas.reserve(quotas, claim)
        self.closed.pop(call_id, None)
        self.open_holds[call_id] = Hold(
            event_id=event.id,
            call_id=call_id,
            account_id=event.account_id,
            state=HoldState.HELD,
            amount=event.amount_nano_usd,
            version=event.originator_version,
            parts=list(event.lots),
            quotas=quotas,
            idempotency=event.idempotency,
        )
        if event.idempotency:
            key = event.idempotency
            self.idempotency[key["key_hash"]] = (key["digest"], call_id, HoldState.HELD)

    def _reserve(self, account_id: str, amount: int, parts: list[LotPart]) -> None:
        account = self.account(account_id)
        if parts_sum(parts) != amount:
            message = f"account {account_id}: a hold of {amount} lies on lots of another sum"
            raise InvalidTransitionError(message)
        account.available -= amount
        account.held += amount
        for part in parts:
            lot = account.move(part, available=-1, held=1)
            if lot.available < 0:
                message = f"lot {lot.lot_id} is overdrawn"
                raise InvalidTransitionError(message)

    def _resolved(self, event: HoldResolved, hold: Hold, after: HoldState) -> None:
        account = self.account(event.account_id)
        if event.held_nano_usd != hold.amount:
            message = f"call {hold.call_id}: resolves {event.held_nano_usd} of {hold.amount}"
            raise InvalidTransitionError(message)
        account.held -= hold.amount
        account.settled += event.settled_nano_usd
        account.breakage += event.breakage_nano_usd
        account.house_loss += event.house_loss_nano_usd
        account.available += hold.amount - event.settled_nano_usd - event.breakage_nano_usd
        self._resolve_lots(event, hold, account)
        claim = Claim()
        if isinstance(event, HoldSettled):
            claim = Claim(1, tokens_of(event.usage), event.settled_nano_usd)
        self.quotas.resolve(hold.quotas, event.quotas, claim, {p["lot_id"] for p in hold.parts})
        del self.open_holds[hold.call_id]
        self.closed[hold.call_id] = Closed(
            after, event.originator_version, event.house_loss_nano_usd
        )
        if hold.idempotency:
            key = hold.idempotency
            self.idempotency[key["key_hash"]] = (key["digest"], hold.call_id, after)

    def _resolve_lots(self, event: HoldResolved, hold: Hold, account: Account) -> None:
        spent = parts_sum(event.lots) + parts_sum(event.beyond_lots)
        figures = (event.settled_nano_usd, event.released_nano_usd, event.breakage_nano_usd)
        if figures != (spent, parts_sum(event.released_lots), parts_sum(event.forfeited_lots)):
            message = f"call {hold.call_id}: its lots do not sum to its figures"
            raise InvalidTransitionError(message)
        left: dict[str, int] = {}
        for part in hold.parts:
            left[part["lot_id"]] = left.get(part["lot_id"], 0) + part["amount_nano_usd"]
            account.move(part, held=-1)
        for part in [*event.lots, *event.released_lots, *event.forfeited_lots]:
            left[part["lot_id"]] -= part["amount_nano_usd"]
        if any(left.values()):
            message = f"call {hold.call_id}: a lot of its hold is not fully accounted for"
            raise InvalidTransitionError(message)
        for part in event.released_lots:
            account.move(part, available=1)
        for part in event.beyond_lots:
            account.move(part, available=-1)


def with_more(held: list[QuotaPart], more: list[QuotaPart]) -> list[QuotaPart]:
    """What a hold has on its quotas once it is extended on some of them."""
    added = {part["quota_id"]: part["held"] for part in more}
    return [{**part, "held": part["held"] + added.get(part["quota_id"], 0)} for part in held]
