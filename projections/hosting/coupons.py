"""Compares the tables of coupons and their uses with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.coupons.all import AllCoupons


def coupon_differences(connection: psycopg.Connection[Any], coupons: AllCoupons) -> Iterator[str]:
    """Every coupon and every use that differs; and uses noted as granted that were not."""
    rows = connection.execute(
        "SELECT coupon_id::text, version, code, value, scope, kind, max_uses, times_used, "
        "iso_instant(valid_from), iso_instant(valid_until), active, assigned_to::text, description "
        "FROM coupon"
    ).fetchall()
    stored = {name: tuple(members) for name, *members in rows}
    logged = {
        name: (
            each.version,
            each.code,
            each.value_nano_usd,
            each.scope,
            each.kind,
            each.max_uses,
            each.times_used,
            each.valid_from,
            each.valid_until,
            each.active,
            each.assigned_to_user_id,
            each.description,
        )
        for name, each in coupons.coupons.items()
    }
    yield from _compare("coupon", stored, logged)
    rows = connection.execute(
        "SELECT coupon_id::text, user_id::text, account_id::text, lot_id::text, value "
        "FROM coupon_use"
    ).fetchall()
    uses = {(coupon, user): tuple(members) for coupon, user, *members in rows}
    yield from _compare("coupon_use", uses, coupons.uses)
    lost = connection.execute(
        "SELECT lot_id::text FROM coupon_use u WHERE granted "
        "AND NOT EXISTS (SELECT FROM grant_key g WHERE g.lot_id = u.lot_id) ORDER BY lot_id"
    ).fetchall()
    for (lot,) in lost:
        yield f"coupon_use of lot {lot}: noted as granted, and no such grant is in the log"


def _compare(table: str, stored: dict[Any, Any], logged: dict[Any, Any]) -> Iterator[str]:
    for key in sorted(stored.keys() | logged.keys()):
        if stored.get(key) != logged.get(key):
            yield f"{table} {key}: stored {stored.get(key)}, the log says {logged.get(key)}"
