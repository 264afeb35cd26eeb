"""The verbs about coupons: what admins do over HTTP, an operator does here."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from command_api.cli.base import (
    Home,
    Json,
    fail,
    instant,
    opened_to_read,
    show,
    show_none,
    telling,
)
from command_api.cli.people.opening import people_of
from command_api.cli.users import ACTOR
from command_api.coupons.store import Store
from domain.coupons.coupon import Changes, NewCoupon
from domain.coupons.terms import CouponKind, CouponScope
from domain.events.base import By
from domain.pricing.money import format_usd, parse_usd
from event_store.beside.coupons import LISTED_MAX, coupon_of_id, read_coupons
from event_store.ids import now_iso, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.people import People
    from event_store.beside.coupons import StoredCoupon

app = typer.Typer(no_args_is_help=True, help="Coupons: codes that are worth credits.")

Coupon = Annotated[UUID, typer.Argument(help="Id of the coupon.")]
Until = Annotated[str, typer.Option(help="When it stops counting: a day, or an instant.")]
Uses = Annotated[int, typer.Option(help="How many users may redeem it.")]
Described = Annotated[str, typer.Option(help="What it is for.")]


@contextmanager
def _store(home: Path | None) -> Iterator[tuple[People, Store]]:
    with people_of(home) as (_, people):
        yield people, Store(people)


@app.command("create")
def create(  # noqa: PLR0913, PLR0917 - each is an option of the verb.
    code: Annotated[str, typer.Argument(help="What users type; case does not matter.")],
    value: Annotated[str, typer.Option(help="What one use is worth, USD.")],
    until: Until,
    max_uses: Uses = 1,
    kind: Annotated[CouponKind, typer.Option(help="What for.")] = CouponKind.PROMOTIONAL,
    user: Annotated[str, typer.Option(help="Id or address of the only one who may.")] = "",
    begins: Annotated[str, typer.Option("--from", help="When it begins to count.")] = "",
    description: Described = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a coupon; with --user it is for that user alone."""
    with _store(home) as (people, store):
        wanted = NewCoupon(
            code=code,
            value_nano_usd=parse_usd(value),
            scope=CouponScope.USER_SPECIFIC if user else CouponScope.GLOBAL,
            kind=kind,
            max_uses=max_uses,
            valid_from=to_iso(instant(begins)) if begins else now_iso(),
            valid_until=to_iso(instant(until)),
            assigned_to_user_id=str(people.users.find_user(user)[0]) if user else None,
            description=description,
        )
        made = store.create(wanted, By(), ACTOR)
        show(_told(store.shown(made)), as_json=as_json)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Pass over so many.")] = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print coupons, newest first, one a line."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found, _total = read_coupons(connection, limit=limit, offset=offset)
    if not found:
        show_none("more coupons" if offset else "coupons", as_json=as_json)
    for each in found:
        told = _told(each)
        if as_json:
            show(told, as_json=True)
        else:
            state = "" if each.state.active else "  inactive"
            sys.stdout.write(
                f"{told['coupon_id']}  {told['code']}  {told['value_usd']} USD  "
                f"{told['times_used']} of {told['max_uses']} used  "
                f"until {told['valid_until']}{state}\n"
            )


@app.command("show")
def show_(coupon: Coupon, home: Home = None, as_json: Json = False) -> None:
    """Print one coupon."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = coupon_of_id(connection, coupon)
    if found is None:
        fail(f"there is no coupon {coupon}: see `gatewayz coupon list`")
    show(_told(found), as_json=as_json)


@app.command("change")
def change(
    coupon: Coupon,
    until: Until = "",
    max_uses: Annotated[int | None, typer.Option(help="How many users may redeem it.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    active: Annotated[
        bool | None, typer.Option("--activate/--deactivate", help="Whether it can be redeemed.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change its end, its uses, its description, or whether it is active."""
    with telling():
        wanted = Changes(
            valid_until=to_iso(instant(until)) if until else None,
            max_uses=max_uses,
            is_active=active,
            description=description,
        )
    _changed(coupon, wanted, home, as_json=as_json)


@app.command("deactivate")
def deactivate(coupon: Coupon, home: Home = None, as_json: Json = False) -> None:
    """Let nobody redeem it any more; what was redeemed stays."""
    _changed(coupon, Changes(is_active=False), home, as_json=as_json)


def _changed(coupon: UUID, wanted: Changes, home: Path | None, *, as_json: bool) -> None:
    with _store(home) as (_, store):
        show(_told(store.change(coupon, wanted, By(), ACTOR)), as_json=as_json)


def _told(stored: StoredCoupon) -> dict[str, object]:
    state = stored.state
    return {
        "coupon_id": str(state.id),
        "code": state.code,
        "value_usd": format_usd(state.value_nano_usd),
        "scope": state.scope,
        "kind": state.kind,
        "max_uses": state.max_uses,
        "times_used": state.times_used,
        "valid_from": state.valid_from,
        "valid_until": state.valid_until,
        "is_active": state.active,
        "assigned_to_user_id": state.assigned_to_user_id,
        "description": state.description,
        "created_at": to_iso(stored.created_at),
    }
