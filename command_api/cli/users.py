"""The verbs about users, their keys and their credits."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from command_api.cli.base import (
    DAY_CHARACTERS,
    MISTAKE,
    NOT_CHECKED,
    Home,
    Json,
    instant,
    opened,
    opened_to_read,
    show,
)
from command_api.composition import place_of_secret, vault_of
from command_api.identity.known_users import USERS_MAX, list_users, show_user
from command_api.identity.leaks import files_below, leaks_in
from command_api.identity.users import Users
from command_api.money.grants import Grant, Grants
from domain.identity.key_format import Environment
from domain.ledger.amounts import check_grant
from domain.ledger.lots import GrantKind
from domain.pricing.money import format_usd, parse_usd
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

users = typer.Typer(no_args_is_help=True, help="Users.")
keys = typer.Typer(no_args_is_help=True, help="API keys.")

ACTOR = "operator:cli"
GRACE_HOURS_MAX = 8_760.0
"""A year: longer than that the old writing of a key need not open."""


@contextmanager
def commands_of(home: Path | None, *, create: bool = False) -> Iterator[tuple[Users, Grants]]:
    """The commands on users, keys and credits, on the home's database, which may be made anew."""
    with opened(home, create=create, prepare=create) as (settings, database):
        known = Users(database, vault_of(settings, database), actor=ACTOR)
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
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print users, oldest first, one a line: id, account, what is available and held, keys."""
    with opened_to_read(home) as (_, database):
        found = list_users(database, after=after, limit=limit)
    for each in found:
        if as_json:
            show(each, as_json=True)
        else:
            sys.stdout.write(
                f"{each['user_id']}  account {each['account_id']}  "
                f"available {each['available_usd']}  held {each['held_usd']}  "
                f"keys {each['active_keys']}\n"
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


@keys.command("create")
def key_create(
    user: Annotated[str, typer.Option(help="Id or address of the user.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    environment: Annotated[Environment, typer.Option(help="Stands in the key.")] = Environment.LIVE,
    expires_at: Annotated[
        str | None, typer.Option(help="When it ends, ISO 8601 with zone, or a day (UTC).")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another key for a user; it is shown this once."""
    with commands_of(home) as (known, _):
        end = None if expires_at is None else instant(expires_at)
        key_id, api_key = known.create_key(user, name, environment, end)
        made = {"key_id": key_id, "api_key": api_key, "name": name, "environment": environment}
        show({**made, "expires_at": end and to_iso(end)}, as_json=as_json)


@keys.command("rotate")
def key_rotate(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    grace_hours: Annotated[
        float, typer.Option(min=0, max=GRACE_HOURS_MAX, help="How long the old one still opens.")
    ] = 24.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a key anew: its id, name and end stay; the new writing is shown this once."""
    with commands_of(home) as (known, _):
        key_id, api_key, until = known.rotate_key(key, timedelta(hours=grace_hours))
        show({"key_id": key_id, "api_key": api_key, "old_until": until}, as_json=as_json)


@keys.command("revoke")
def key_revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; running gateways refuse it at once."""
    with commands_of(home) as (known, _):
        show({"key_id": known.revoke_key(key, reason), "status": "revoked"}, as_json=as_json)


@keys.command("scan")
def key_scan(
    paths: Annotated[list[str], typer.Argument(help="Files and folders; - is standard input.")],
    unchecked: Annotated[
        bool, typer.Option(help="Also what has the form of a key and a wrong checksum.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for leaked keys in files, offline; never prints one.

    Exit 1 where there is any, 3 where something could not be read.
    """
    status = 0
    for file, opened_file in _opened(paths):
        try:
            with opened_file() as stream:
                for leak in leaks_in(stream):
                    if not leak.checked and not unchecked:
                        continue
                    status = status or MISTAKE
                    if as_json:
                        show({"file": file, **asdict(leak)}, as_json=True)
                    else:
                        doubt = "" if leak.checked else " (its checksum is wrong)"
                        sys.stdout.write(f"{file}:{leak.line}: {leak.masked}{doubt}\n")
        except OSError as error:
            sys.stderr.write(f"gatewayz: {file} cannot be read: {error.strerror}\n")
            status = NOT_CHECKED
    raise typer.Exit(status)


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _opened(
    paths: list[str],
) -> Iterator[tuple[str, Callable[[], AbstractContextManager[BinaryIO]]]]:
    """What to look through, by name, and how it is opened; folders that cannot be are told."""
    for path in paths:
        if path == "-":
            yield path, lambda: nullcontext(sys.stdin.buffer)
            continue
        for file in files_below(Path(path)):
            yield str(file), partial(_open, file)


def grant(
    user: Annotated[str, typer.Argument(help="Id or address of the user.")],
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
    """Give credits to a user."""
    with commands_of(home) as (known, grants):
        nano = parse_usd(amount)
        check_grant(nano)
        _, account_id = known.find_user(user)
        given = Grant(
            account_id=account_id,
            amount=nano,
            kind=kind,
            reason=reason,
            expires_at=_expiry(expires_at),
            idempotency_key=idempotency_key,
        )
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
