"""What the commands do to the database: all of it blocks, and runs on the lane of people.

Commands on one coupon wait for each other under a lock of the database, so that a hundred who
redeem it at once are not refused for being in each other's way; the version of its stream refuses
whatever comes past the lock.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.coupons.coupon import change_coupon, create_coupon
from domain.coupons.redemption import RedemptionError, redeem_coupon
from domain.coupons.terms import InvalidCouponError, code_of
from domain.errors import DomainError
from domain.ledger.amounts import ACCOUNT_GRANTED_NANO_USD_MAX
from event_store.beside.coupons import (
    Use,
    coupon_of_code,
    coupon_of_id,
    has_redeemed,
    note_granted,
    use_of_lot,
    waiting_uses,
)
from event_store.ids import new_envelope, new_uuid7
from event_store.locks import Lock
from event_store.log.aggregates import constraint_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from command_api.identity.people import People
    from domain.coupons.coupon import Changes, NewCoupon
    from domain.events.base import By
    from event_store.beside.coupons import StoredCoupon

WAITING_MAX = 100
"""Most uses of one user that are completed at once."""


class UnknownCouponError(DomainError):
    """There is no coupon of this id."""

    code = "coupon_not_found"


class CouponCodeTakenError(DomainError):
    """Another coupon has the code, or had it."""

    code = "coupon_code_taken"


class CouponChangedError(DomainError):
    """Somebody else changes the coupon at this moment."""

    code = "coupon_changed"


class Store:
    """One for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self._people = people

    def create(self, wanted: NewCoupon, by: By, actor: str) -> UUID:
        """A new coupon; returns its id. Raises InvalidCouponError, CouponCodeTakenError."""
        if wanted.assigned_to_user_id is not None:
            wanted = replace(wanted, assigned_to_user_id=self._user(wanted.assigned_to_user_id))
        coupon_id, stamp = new_uuid7(), new_envelope(actor)
        created = create_coupon(coupon_id, wanted, stamp["effective_at"], by, stamp)
        try:
            self._people.events.append([created])
        except IntegrityError as error:
            if constraint_of(error) != "coupon_code_idx":
                raise
            message = f"there is, or was, a coupon with the code {created.code}: give another code"
            raise CouponCodeTakenError(message) from None
        return coupon_id

    def change(self, coupon_id: UUID, wanted: Changes, by: By, actor: str) -> StoredCoupon:
        """Change what is given; returns the coupon as it is then.

        Raises UnknownCouponError, InvalidCouponError, CouponChangedError.
        """
        with self._locked(self.shown(coupon_id).state.code) as connection:
            known = self.found(connection, coupon_id)
            stamps = new_envelope(actor), new_envelope(actor)
            events = change_coupon(known.state, wanted, known.now, by, stamps)
            try:
                if events:
                    self._people.events.append(events)
            except IntegrityError:
                message = "the coupon is being changed by others at this moment: try again"
                raise CouponChangedError(message) from None
        return self.shown(coupon_id)

    def use(self, text: str, user_id: UUID, by: By, actor: str) -> Use:
        """One use for a user, whose credits are not granted yet. Raises RedemptionError."""
        code = code_of(text)
        if code is None:
            raise RedemptionError("VALIDATION_FAILED", "this cannot be the code of a coupon")
        with self._locked(code) as connection:
            account_id = self._account(connection, user_id)
            known, stamp = coupon_of_code(connection, code), new_envelope(actor)
            state, instant = None, stamp["effective_at"]
            if known is not None:
                state, instant = known.state, known.now
                if has_redeemed(connection, state.id, user_id):
                    state = replace(state, redeemed_by=frozenset({str(user_id)}))
                _check_room(connection, account_id, state.value_nano_usd)
            redeemed = redeem_coupon(state, str(user_id), account_id, instant, by, stamp)
            try:
                self._people.events.append([redeemed])
            except IntegrityError:
                message = "the coupon is being changed by others at this moment: try again"
                raise RedemptionError("SYSTEM_ERROR", message) from None
            return use_of_lot(connection, UUID(redeemed.lot_id))

    def waiting(self, user_id: UUID) -> list[Use]:
        """A user's uses whose credits may not be granted."""
        with self._people.connect() as connection:
            return waiting_uses(connection, WAITING_MAX, user_id)

    def granted(self, use: Use) -> None:
        """Nobody need look at a use any more."""
        with self._people.connect() as connection:
            note_granted(connection, use.lot_id)

    @staticmethod
    def found(connection: psycopg.Connection[Any], coupon_id: UUID) -> StoredCoupon:
        """A coupon; raises UnknownCouponError."""
        known = coupon_of_id(connection, coupon_id)
        if known is None:
            message = "there is no coupon with this id"
            raise UnknownCouponError(message)
        return known

    def shown(self, coupon_id: UUID) -> StoredCoupon:
        """A coupon; raises UnknownCouponError."""
        with self._people.connect() as connection:
            return self.found(connection, coupon_id)

    @contextmanager
    def _locked(self, code: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection; nobody else commands the coupon meanwhile."""
        with self._people.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [Lock.COUPONS, code]
            )
            yield connection

    def _user(self, text: str) -> str:
        """A user's id in its one writing; raises InvalidCouponError."""
        try:
            user_id = UUID(text)
            with self._people.connect() as connection:
                self._account(connection, user_id)
        except (ValueError, RedemptionError):
            message = f"assigned_to_user_id: there is no user {text[:64]!r}"
            raise InvalidCouponError(message) from None
        return str(user_id)

    @staticmethod
    def _account(connection: psycopg.Connection[Any], user_id: UUID) -> UUID:
        """The user's own account. Raises RedemptionError for who has left."""
        row = connection.execute(
            "SELECT account_id FROM user_secret WHERE user_id = %s AND wrapped_key IS NOT NULL",
            [user_id],
        ).fetchone()
        if row is None:
            raise RedemptionError("USER_NOT_FOUND", "there is no such user any more")
        found: UUID = row[0]
        return found


def _check_room(connection: psycopg.Connection[Any], account_id: UUID, value: int) -> None:
    """Raise RedemptionError where the account's grants are as much as they may be in all."""
    row = connection.execute(
        "SELECT granted FROM credit_account WHERE account_id = %s", [account_id]
    ).fetchone()
    if row is not None and row[0] + value > ACCOUNT_GRANTED_NANO_USD_MAX:
        message = "the account cannot be granted so much more"
        raise RedemptionError("VALIDATION_FAILED", message)
