"""Compares the tables of referral codes and referrals with the log, and bonuses with grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from domain.referrals.all import AllReferrals


def referral_differences(
    connection: psycopg.Connection[Any], referrals: AllReferrals
) -> Iterator[str]:
    """Every code and referral that differs."""
    rows = connection.execute(
        "SELECT stream::text, version, code, user_id::text, origin FROM referral_code"
    ).fetchall()
    stored: dict[str, tuple[object, ...]] = {name: tuple(members) for name, *members in rows}
    logged: dict[str, tuple[object, ...]] = {
        name: (each.version, each.code, each.user_id, each.origin)
        for name, each in referrals.codes.items()
    }
    yield from _compare("referral_code", stored, logged)
    rows = connection.execute(
        "SELECT referee::text, referrer::text, origin, state, bonus FROM referral"
    ).fetchall()
    stored = {name: tuple(members) for name, *members in rows}
    logged = {
        referee: (
            code.user_id,
            each.origin,
            each.state.value,
            each.completed.bonus_nano_usd if each.completed else 0,
        )
        for code in referrals.codes.values()
        for referee, each in code.referrals.items()
    }
    yield from _compare("referral", stored, logged)


def _compare(
    table: str, stored: Mapping[str, object], logged: Mapping[str, object]
) -> Iterator[str]:
    for key in sorted(stored.keys() | logged.keys()):
        if stored.get(key) != logged.get(key):
            yield f"{table} {key}: stored {stored.get(key)}, the log says {logged.get(key)}"
