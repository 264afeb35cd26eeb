"""What the events of referrals change beside the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.offers.referrals import (
    ReferralClaimed,
    ReferralCodeMade,
    ReferralCompleted,
    ReferralPurchaseRefunded,
    ReferralRefused,
    ReferralTakenBack,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_LOGGED = "FROM events e WHERE e.originator_id = %(stream)s AND e.originator_version = %(version)s"
_VERSION = "UPDATE referral_code SET version = %(version)s WHERE stream = %(stream)s"

_ENDED = (
    "UPDATE referral r SET state = %(to)s, payment_id = %(payment_id)s, "
    "bonus = coalesce(%(bonus_nano_usd)s, bonus), "
    f"ended_at = (SELECT e.booked_at {_LOGGED}) WHERE r.referee = %(referee_user_id)s"
)


def _apply(*statements: str) -> Handler:
    """A handler that executes statements with the fact's members."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        own = {"stream": stored.originator_id, "version": stored.originator_version}
        for statement in statements:
            cursor.execute(statement.encode(), {**fact, **own})

    return handle


def _ended(state: str) -> Handler:
    """A handler for an end of a referral, or for what comes after it."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = {"bonus_nano_usd": None, **msgspec.json.decode(stored.state), "to": state}
        own = {"stream": stored.originator_id, "version": stored.originator_version}
        cursor.execute(_VERSION.encode(), own)
        cursor.execute(_ENDED.encode(), {**fact, **own})

    return handle


HANDLERS: Mapping[str, Handler] = {
    ReferralCodeMade.TOPIC: _apply(
        "INSERT INTO referral_code (code, stream, user_id, version, origin, made_at) SELECT "
        f"%(code)s, %(stream)s, %(user_id)s, %(version)s, %(origin)s, e.booked_at {_LOGGED}"
    ),
    ReferralClaimed.TOPIC: _apply(
        _VERSION,
        "INSERT INTO referral (referee, referrer, origin, position, claimed_at) SELECT "
        "%(referee_user_id)s, %(user_id)s, %(origin)s, e.notification_id, e.booked_at "
        f"{_LOGGED}",
    ),
    ReferralCompleted.TOPIC: _ended("completed"),
    ReferralRefused.TOPIC: _ended("refused"),
    ReferralPurchaseRefunded.TOPIC: _apply(_VERSION),
    ReferralTakenBack.TOPIC: _ended("taken_back"),
}
