"""The verbs about users, their keys and their credits."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from command_api.cli.base import (
    DAY_CHARACTERS,
    Home,
    Json,
    fail,
    instant,
    opened,
    opened_to_read,
    show,
)
from command_api.cli.money.second_person import OPERATOR, asked_second, rule_of
from command_api.composition import place_of_secret, vault_of
from command_api.identity.known_users import list_users, show_user
from command_api.identity.users import Users
from command_api.money.grants import Grant, Grants
from domain.ledger.amounts import check_grant
from domain.ledger.lots import GrantKind
from domain.pricing.money import format_usd, parse_usd
from event_store.beside.users import USERS_MAX
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

users = typer.Typer(no_args_is_help=True, help="Users.")

ACTOR = OPERATOR


@contextmanager
def commands_of(home: Path | None, *, create: bool = False) -> Iterator[tuple[Users, Grants]]:
    """The commands on users, keys and credits, on the home's database, which may be made anew."""
    with opened(home, create=create, prepare=create) as (settings, database):
        known = Users(
            database,
            vault_of(settings, database),
            actor=ACTOR,
            keys_max=settings.identity.keys_per_user_max,
        )
        try:
            yield known, Grants(database, actor=ACTOR)
        finally:
            known.close()


@users.command("create")
def user_create(
    email: Annotated[str, typer.Option(help="Address of the user.")],
    grant: Annotated[str, typer.Option(help="USD to grant, a decimal string.")] = "0",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a user with an API key; the balance is exactly --grant."""
    with commands_of(home, create=True) as (known, grants):
        amount = parse_usd(grant)
        if amount:
            check_grant(amount)
            if rule_of(home).wants(amount):
                fail("so much needs a second admin: create the user, then `gatewayz grant`")
        user = known.create_user(email)
        if amount:
            given = Grant(
                account_id=UUID(user.account_id),
                amount=amount,
                kind=GrantKind.BONUS,
                reason="granted at creation",
                idempotency_key="creation",
            )
            asyncio.run(grants.give(given))
        show(
            {
                "user_id": user.user_id,
                "api_key": user.api_key,
                "account_id": user.account_id,
                "key_id": user.key_id,
                "granted_nano_usd": amount,
                "granted_usd": format_usd(amount),
            },
            as_json=as_json,
        )


@users.command("list")
def user_list(
    after: Annotated[str, typer.Option(help="Begin behind this user's id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=USERS_MAX, help="At most so many.")] = 100,
    left: Annotated[bool, typer.Option("--left", help="Those who left, too.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print users, oldest first, one a line: id, account, what is available and held, keys."""
    with opened_to_read(home) as (_, database):
        found = list_users(database, after=after, limit=limit, left=left)
    for each in found:
        if as_json:
            show(each, as_json=True)
        else:
            sys.stdout.write(
                f"{each['user_id']}  account {each['account_id']}  "
                f"available {each['available_usd']}  held {each['held_usd']}  "
                f"keys {each['active_keys']}{'  (left)' if each['left'] else ''}\n"
            )


@users.command("show")
def user_show(
    user: Annotated[str, typer.Argument(help="Id or address of the user.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a user: account, balance, keys."""
    with opened_to_read(home) as (settings, database):
        found = show_user(database, place_of_secret(settings), user)
    if not as_json:
        found["keys"] = ", ".join(
            f"{each['key_id']} {each['masked']} {each['name']}{_end_of(each)}"
            for each in found["keys"]
        )
    show(found, as_json=as_json)


def _end_of(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return " (revoked)"
    return f" (ends {key['expires_at']})" if key["expires_at"] else ""


def grant(
    user: Annotated[
        str, typer.Argument(help="Id or address of the user, or id of an organisation.")
    ],
    amount: Annotated[str, typer.Argument(help="USD, a decimal string.")],
    kind: Annotated[GrantKind, typer.Option(help="Kind of the grant.")] = GrantKind.BONUS,
    expires_at: Annotated[
        str | None, typer.Option(help="When it stops counting, ISO 8601 with zone.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Stands on the statement.")] = "",
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again changes nothing.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give credits to a user or an organisation."""
    with commands_of(home) as (known, grants):
        nano = parse_usd(amount)
        check_grant(nano)
        given = Grant(
            account_id=known.find_account(user),
            amount=nano,
            kind=kind,
            reason=reason or "granted at a shell",
            expires_at=_expiry(expires_at),
            idempotency_key=idempotency_key,
        )
        if asked_second(home, known, given, as_json=as_json):
            return
        lot_id, first = asyncio.run(grants.give(given))
        show(
            {
                "lot_id": lot_id,
                "amount_nano_usd": nano,
                "amount_usd": format_usd(nano),
                "repeated": not first,
            },
            as_json=as_json,
        )


def _expiry(text: str | None) -> str | None:
    """An expiry as it stands on the grant; a day alone is refused, for it is no instant."""
    if text is not None and len(text) == DAY_CHARACTERS:
        message = f"{text!r} has no time zone: write it as 2027-01-01T00:00:00Z"
        raise ValueError(message)
    return None if text is None else to_iso(instant(text))
