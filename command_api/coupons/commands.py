"""What the routes ask for, and what a caller is told of a command that was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.coupons.grants import grant_use
from command_api.coupons.store import (
    CouponChangedError,
    CouponCodeTakenError,
    Store,
    UnknownCouponError,
)
from domain.coupons.redemption import RedemptionError
from domain.errors import DomainError
from domain.events.base import By
from edge.clients import client_of, origin_of
from edge.errors import ApiError, bad_request, ledger_unavailable, sentence, unavailable
from event_store.beside.users import read_available
from event_store.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import Request

    from command_api.identity.people import People
    from command_api.sessions.attempts import Attempts
    from domain.coupons.coupon import Changes, NewCoupon
    from edge.caller import Caller
    from event_store.append.committer import Committer
    from event_store.beside.coupons import StoredCoupon, Use

T = TypeVar("T")
P = ParamSpec("P")

Told = dict[str, Any]
REFUSED: Mapping[str, Callable[[str, Told], ApiError]] = {
    "COUPON_NOT_FOUND": lambda text, told: ApiError(400, "coupon_not_found", text, extra=told),
    "COUPON_INACTIVE": lambda text, told: ApiError(400, "coupon_inactive", text, extra=told),
    "COUPON_NOT_YET_ACTIVE": lambda text, told: ApiError(
        400, "coupon_not_yet_active", text, extra=told
    ),
    "COUPON_EXPIRED": lambda text, told: ApiError(400, "coupon_expired", text, extra=told),
    "COUPON_NOT_ASSIGNED": lambda text, told: ApiError(
        400, "coupon_not_assigned", text, extra=told
    ),
    "MAX_USES_EXCEEDED": lambda text, told: ApiError(400, "coupon_used_up", text, extra=told),
    "ALREADY_REDEEMED": lambda text, told: ApiError(
        400, "coupon_already_redeemed", text, extra=told
    ),
    "USER_NOT_FOUND": lambda text, told: ApiError(400, "user_not_found", text, extra=told),
    "VALIDATION_FAILED": lambda text, told: ApiError(400, "invalid_coupon", text, extra=told),
    "SYSTEM_ERROR": lambda text, told: ApiError(400, "coupon_changed", text, extra=told),
}
"""By the code of a redemption's refusal."""


class Redeemed(NamedTuple):
    """A use, and what the account can spend after it, nano-USD; None where nobody could look."""

    use: Use
    available: int | None


class Coupons:
    """One for each process."""

    def __init__(self, people: People, committer: Committer, attempts: Attempts) -> None:
        """Credits go through the append of the process's calls."""
        self._people, self._committer, self._attempts = people, committer, attempts
        self._store = Store(people)

    async def create(self, wanted: NewCoupon, caller: Caller, request: Request) -> StoredCoupon:
        """A new coupon. Raises ApiError 400, 409 or 503."""
        by = self._by(caller, request)
        made = await self._run(self._store.create, wanted, by, caller.actor)
        return await self._run(self._store.shown, made)

    async def change(
        self, text: str, wanted: Changes, caller: Caller, request: Request
    ) -> StoredCoupon:
        """Change what is given. Raises ApiError 400, 404, 409 or 503."""
        by, coupon_id = self._by(caller, request), _id_of(text)
        return await self._run(self._store.change, coupon_id, wanted, by, caller.actor)

    async def redeem(self, code: str, caller: Caller, request: Request) -> Redeemed:
        """A use of a coupon, and its credits. Raises ApiError 400, 429 or 503.

        Whatever the user redeemed before and has no credits for is completed first.
        """
        user_id, origin, by = UUID(caller.user_id), origin_of(request), self._by(caller, request)
        await self._run(self._count, origin, caller.user_id)
        for use in await self._run(self._store.waiting, user_id):
            await self._grant(use, caller.actor)
        try:
            use = await self._run(self._store.use, code, user_id, by, caller.actor)
        except RedemptionError as error:
            raise refused(error, code) from None
        await self._grant(use, caller.actor)
        return Redeemed(use, await self._after(use, origin, caller.user_id))

    async def _grant(self, use: Use, actor: str) -> None:
        try:
            await grant_use(self._committer, use, actor=actor)
        except (EventStoreError, DomainError):
            message = (
                f"The coupon {use.code} is redeemed, and its credits are not there yet: they come "
                "by themselves once the ledger can be reached."
            )
            raise unavailable("ledger_unavailable", message) from None
        await self._run(self._store.granted, use)

    async def _after(self, use: Use, origin: str, user: str) -> int | None:
        """What can be spent now; the use is done, whoever has no time to look."""

        def look() -> int:
            with self._people.connect() as connection:
                self._attempts.coupon_good(connection, origin, user)
                return read_available(connection, use.account_id)

        try:
            return await self._run(look)
        except ApiError:
            return None

    def _count(self, origin: str, user: str) -> None:
        with self._people.connect() as connection:
            self._attempts.coupon(connection, origin, user)

    async def _run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What a command gives, on the lane of people. Raises ApiError, RedemptionError."""
        try:
            return await self._people.run(work, *values, **named)
        except RedemptionError:
            raise
        except UnknownCouponError as error:
            raise ApiError(404, "coupon_not_found", sentence(error)) from None
        except CouponCodeTakenError as error:
            raise ApiError(409, "coupon_code_taken", sentence(error)) from None
        except CouponChangedError as error:
            raise ApiError(409, "coupon_changed", sentence(error)) from None
        except DomainError as error:
            raise bad_request("invalid_coupon", sentence(error)) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    def _by(self, caller: Caller, request: Request) -> By:
        return By(caller.user_id, self._people.vault.origin(client_of(request)))


def refused(error: RedemptionError, code: str) -> ApiError:
    """A 400 with the members that clients know."""
    text = sentence(error)
    told = {
        "success": False,
        "message": text,
        "coupon_code": code,
        "coupon_value": None,
        "previous_balance": None,
        "new_balance": None,
        "error_code": error.code,
    }
    return REFUSED[error.code](text, told)


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        message = "There is no coupon with this id: GET /admin/coupons lists them."
        raise ApiError(404, "coupon_not_found", message) from None
