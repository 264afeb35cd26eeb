"""`account_balances`: what each account holds, and its lots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import (
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
    LotExpired,
    MoneyEvent,
)
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
    about="One row an account; nano-USD. granted = available + held + settled + breakage.",
    columns=(
        key("account_id", "uuid"),
        *sums("granted", "available", "held", "settled", "breakage", "house_loss"),
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
    revision = 2

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Move credits between available, held, settled and breakage."""
        event = entry.event
        assert isinstance(event, MoneyEvent)
        granted = available = held = settled = breakage = loss = requests = tokens = 0
        match event:
            case CreditsGranted():
                granted = available = event.amount_nano_usd
                values = (
                    event.account_id,
                    event.kind,
                    granted,
                    available,
                    event.effective_at,
                    event.expires_at,
                )
                changes.merge(CREDIT_LOT, (event.lot_id,), values)
            case LotExpired():
                available, breakage = -event.breakage_nano_usd, event.breakage_nano_usd
                changes.merge(CREDIT_LOT, (event.lot_id,), _lot(event, available))
            case HoldPlaced() | HoldExtended():
                available, held = -event.amount_nano_usd, event.amount_nano_usd
                _move(changes, event, event.lots, -1)
            case HoldResolved():
                held, settled = -event.held_nano_usd, event.settled_nano_usd
                breakage, loss = event.breakage_nano_usd, event.house_loss_nano_usd
                available = -held - settled - breakage
                _move(changes, event, event.released_lots, 1)
                _move(changes, event, event.beyond_lots, -1)
                if isinstance(event, HoldSettled):
                    usage = event.usage
                    requests = 1
                    tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            case HouseLossBooked():
                loss = event.house_loss_nano_usd
            case _:
                pass
        figures = (granted, available, held, settled, breakage, loss, requests, tokens)
        changes.merge(ACCOUNT_BALANCE, (event.account_id,), (*figures, entry.position))


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
        "SELECT granted, held, settled, breakage, requests, tokens, position "
        f"FROM {ACCOUNT_BALANCE.view} WHERE account_id = %s",
        [account_id],
    )
    return Balance(*rows[0]) if rows else Balance(0, 0, 0, 0, 0, 0, 0)


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
