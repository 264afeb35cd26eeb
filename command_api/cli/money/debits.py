"""The verbs that take credits back, or move them to another account."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import typer

from command_api.cli.base import Home, Json, opened, show
from command_api.cli.money.second_person import asked_second
from command_api.cli.users import ACTOR, commands_of
from command_api.money.debits import Debit, Debits, Transfer
from domain.ledger.lots import DebitKind
from domain.pricing.money import format_usd, parse_usd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database


@contextmanager
def database_of(home: Path | None) -> Iterator[Database]:
    """The home's database, which is there already."""
    with opened(home, create=False, prepare=False) as (_, database):
        yield database


Reason = Annotated[str, typer.Option(help="Why; it stands on the statement and in the audit.")]
Key = Annotated[str | None, typer.Option(help="The same key again changes nothing.")]
Amount = Annotated[str, typer.Argument(help="USD, a decimal string.")]


def debit(
    user: Annotated[
        str, typer.Argument(help="Id or address of the user, or id of an organisation.")
    ],
    amount: Amount,
    reason: Reason,
    lot: Annotated[
        UUID | None, typer.Option(help="The grant it concerns: its rest goes first.")
    ] = None,
    idempotency_key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take credits back from a user or an organisation; what is not there is owed."""
    with commands_of(home) as (known, _), database_of(home) as database:
        wanted = Debit(
            account_id=known.find_account(user),
            debit_key=idempotency_key or str(uuid4()),
            amount=parse_usd(amount),
            kind=DebitKind.ADMIN_DEBIT,
            reason=reason,
            lot_id=lot,
        )
        if asked_second(home, known, wanted, as_json=as_json):
            return
        done = asyncio.run(Debits(database, actor=ACTOR).take(wanted))
        show(
            {
                "debit_id": str(done.debit_id),
                "taken_nano_usd": done.taken_nano_usd,
                "taken_usd": format_usd(done.taken_nano_usd),
                "owed_nano_usd": done.owed_nano_usd,
                "owed_usd": format_usd(done.owed_nano_usd),
                "repeated": not done.first,
            },
            as_json=as_json,
        )


def transfer(
    user: Annotated[str, typer.Argument(help="Who gives: a user or an organisation.")],
    to: Annotated[str, typer.Argument(help="Who gets it: a user or an organisation.")],
    amount: Amount,
    reason: Reason,
    idempotency_key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Move credits to another user or organisation: both sides or neither."""
    with commands_of(home) as (known, _), database_of(home) as database:
        wanted = Transfer(
            account_id=known.find_account(user),
            to_account_id=known.find_account(to),
            debit_key=idempotency_key or str(uuid4()),
            amount=parse_usd(amount),
            reason=reason,
        )
        done = asyncio.run(Debits(database, actor=ACTOR).move(wanted))
        show(
            {
                "transfer_id": str(done.debit_id),
                "moved_nano_usd": done.taken_nano_usd,
                "moved_usd": format_usd(done.taken_nano_usd),
                "repeated": not done.first,
            },
            as_json=as_json,
        )
