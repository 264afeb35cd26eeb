"""`account_balances`: what each account holds, and its lots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
    LotExpired,
    MoneyEvent,
    ReceivablePaid,
)
from domain.ledger.adjustments import RENEWED
from domain.ledger.lots import GrantKind
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, counts, key, sums

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from domain.events.ledger import LotPart
    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

ACCOUNT_BALANCE = Table(
    name="account_balance",
    about="One row an account; nano-USD. granted + owed = available + held + settled + breakage + "
    "debited.",
    columns=(
        key("account_id", "uuid"),
        *sums(
            "granted", "available", "held", "settled", "breakage", "house_loss", "debited", "owed"
        ),
        *counts("requests"),
        *sums("tokens"),
        Column("position", "bigint", Merge.MAX, about="Last event of the account."),
    ),
)
LOTS_SHOWN_MAX = 100
"""Most lots of an account that are shown at once."""
_LAPSED = "coalesce(expires_at <= booking_clock(), false)"
CREDIT_LOT = Table(
    name="credit_lot",
    about="One row a grant; nano-USD.",
    columns=(
        key("lot_id", "uuid"),
        Column("account_id", "uuid", Merge.FIRST),
        Column("kind", "text", Merge.FIRST),
        *sums("granted", "available"),
        Column("granted_at", "timestamptz", Merge.FIRST),
        Column("expires_at", "timestamptz", Merge.FIRST),
    ),
    indexes=("account_id",),
)


class AccountBalances(Projection):
    """See the module."""

    name = "account_balances"
    about = "Balances and lots of each account."
    tables = (ACCOUNT_BALANCE, CREDIT_LOT)
    handles = (MoneyEvent,)
    watches = ("ledger.",)
    awaited = True
    revision = 3

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Move credits between available, held, settled, breakage and what is owed."""
        event = entry.event
        assert isinstance(event, MoneyEvent)
        moved = _figures(event)
        changes.merge(ACCOUNT_BALANCE, (event.account_id,), (*moved, entry.position))
        match event:
            case CreditsGranted():
                amount = event.amount_nano_usd
                given = (event.kind, amount, amount, event.effective_at, event.expires_at)
                changes.merge(CREDIT_LOT, (event.lot_id,), (event.account_id, *given))
            case LotExpired():
                lapsed = _lot(event, -event.breakage_nano_usd)
                changes.merge(CREDIT_LOT, (event.lot_id,), lapsed)
            case HoldPlaced() | HoldExtended() | CreditsDebited() | ReceivablePaid():
                _move(changes, event, event.lots, -1)
            case HoldResolved():
                _move(changes, event, event.released_lots, 1)
                _move(changes, event, event.beyond_lots, -1)
            case ChargeCorrected():
                _move(changes, event, event.lots, -1)
                _move(changes, event, event.returned_lots, 1)
                if event.renewed_nano_usd:
                    _renew(changes, event)
            case _:
                pass


class Moved(NamedTuple):
    """What an event adds to an account's figures, in the order of the columns."""

    granted: int = 0
    available: int = 0
    held: int = 0
    settled: int = 0
    breakage: int = 0
    house_loss: int = 0
    debited: int = 0
    owed: int = 0
    requests: int = 0
    tokens: int = 0


def _figures(event: MoneyEvent) -> Moved:  # noqa: PLR0911 - each event moves something else.
    match event:
        case CreditsGranted():
            return Moved(granted=event.amount_nano_usd, available=event.amount_nano_usd)
        case LotExpired():
            return Moved(available=-event.breakage_nano_usd, breakage=event.breakage_nano_usd)
        case HoldPlaced() | HoldExtended():
            return Moved(available=-event.amount_nano_usd, held=event.amount_nano_usd)
        case CreditsDebited():
            debited, owed = event.amount_nano_usd, event.owed_nano_usd
            return Moved(available=-event.taken_nano_usd, debited=debited, owed=owed)
        case ReceivablePaid():
            return Moved(available=-event.amount_nano_usd, owed=-event.amount_nano_usd)
        case ChargeCorrected():
            back = event.returned_nano_usd - event.taken_nano_usd
            owed = event.owed_nano_usd
            return Moved(available=back, settled=owed - back, owed=owed)
        case HouseLossBooked():
            return Moved(house_loss=event.house_loss_nano_usd)
        case HoldResolved():
            return _resolved(event)
        case _:
            return Moved()


def _resolved(event: HoldResolved) -> Moved:
    held, settled, breakage = event.held_nano_usd, event.settled_nano_usd, event.breakage_nano_usd
    usage = event.usage if isinstance(event, HoldSettled) else {}
    return Moved(
        available=held - settled - breakage,
        held=-held,
        settled=settled,
        breakage=breakage,
        house_loss=event.house_loss_nano_usd,
        requests=int(isinstance(event, HoldSettled)),
        tokens=usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
    )


def _renew(changes: Changes, event: ChargeCorrected) -> None:
    """A new lot holds what a correction gave back of lots that expired."""
    amount = event.renewed_nano_usd
    values = (event.account_id, RENEWED, amount, amount, event.effective_at, None)
    changes.merge(CREDIT_LOT, (event.lot_id,), values)


def _lot(event: MoneyEvent, available: int) -> tuple[object, ...]:
    return (event.account_id, None, 0, available, None, None)


def _move(changes: Changes, event: MoneyEvent, parts: Iterable[LotPart], sign: int) -> None:
    for part in parts:
        amount = sign * part["amount_nano_usd"]
        changes.merge(CREDIT_LOT, (part["lot_id"],), _lot(event, amount))


class Balance(NamedTuple):
    """An account's figures in nano-USD, and the last event of it that they show."""

    granted: int
    held: int
    settled: int
    breakage: int
    debited: int
    owed: int
    requests: int
    tokens: int
    position: int


class Lot(NamedTuple):
    """A grant and what is left of it, nano-USD; lapsed once its time is up, booked or not."""

    lot_id: UUID
    kind: str
    granted: int
    available: int
    expires_at: datetime | None
    lapsed: bool


def read_account_balance(select: Select, account_id: UUID) -> Balance:
    """The figures of an account; all nought before its first event."""
    rows = select(
        "SELECT granted, held, settled, breakage, debited, owed, requests, tokens, position "
        f"FROM {ACCOUNT_BALANCE.view} WHERE account_id = %s",
        [account_id],
    )
    return Balance(*rows[0]) if rows else Balance(0, 0, 0, 0, 0, 0, 0, 0, 0)


class Spendable(NamedTuple):
    """What all lots of an account have left, nano-USD."""

    available: int
    lapsed: int
    """Of lots whose time is up and whose expiry is not booked."""
    trial: bool
    """Whether there are lots, and all of them are of a trial."""


def read_spendable(select: Select, account_id: UUID) -> Spendable:
    """The sums of the lots of an account."""
    (row,) = select(
        "SELECT coalesce(sum(available) FILTER (WHERE NOT lapsed), 0), "
        "coalesce(sum(available) FILTER (WHERE lapsed), 0), "
        "coalesce(bool_and(kind = %s), false) FROM "
        f"(SELECT available, kind, {_LAPSED} AS lapsed FROM {CREDIT_LOT.view} "
        "WHERE account_id = %s) AS lot",
        [GrantKind.TRIAL, account_id],
    )
    return Spendable(*row)


class Lapsed(NamedTuple):
    """What is left of a lot whose time is up and whose expiry is not booked, nano-USD."""

    available: int
    expires_at: datetime
    position: int
    """The last event of the account that this shows."""


def read_lapsed(select: Select, account_id: UUID) -> list[Lapsed]:
    """The lots that the account's next append will expire, in the order in which they ended."""
    rows = select(
        f"SELECT l.available, l.expires_at, b.position FROM {CREDIT_LOT.view} l "
        f"JOIN {ACCOUNT_BALANCE.view} b USING (account_id) "
        f"WHERE account_id = %s AND l.available > 0 AND {_LAPSED} ORDER BY l.expires_at, l.lot_id",
        [account_id],
    )
    return [Lapsed(*row) for row in rows]


def read_lots(select: Select, account_id: UUID) -> list[Lot]:
    """The lots of an account, the oldest first.

    At most `LOTS_SHOWN_MAX`: those that can be spent, then the newest of the others.
    """
    rows = select(
        "SELECT lot_id, kind, granted, available, expires_at, lapsed FROM "
        f"(SELECT lot_id, kind, granted, available, granted_at, expires_at, {_LAPSED} AS lapsed "
        f"FROM {CREDIT_LOT.view} WHERE account_id = %s "
        f"ORDER BY available > 0 AND NOT {_LAPSED} DESC, granted_at DESC, lot_id DESC LIMIT %s) "
        "AS lot ORDER BY granted_at, lot_id",
        [account_id, LOTS_SHOWN_MAX],
    )
    return [Lot(*row) for row in rows]
