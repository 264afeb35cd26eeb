"""What the routes ask for, and what a caller is told of a code that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.referrals.store import Store
from command_api.sessions.attempts import HOUR_S, Limit
from domain.referrals.claiming import ReferralRefusedError
from edge.errors import ApiError, ledger_unavailable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from command_api.identity.people import People
    from command_api.sessions.attempts import Attempts
    from domain.referrals.terms import ReferralTerms
    from edge.caller import Caller

T = TypeVar("T")
P = ParamSpec("P")

CODES_OF_USER = Limit("referral-user", 30, HOUR_S)
CODES_OF_ORIGIN = Limit("referral", 300, HOUR_S)
"""Codes that are shown: of 2.8 million millions nobody guesses one."""
NAMED_MAX = 1_000
"""Most users that are named at once."""

REFUSED: Mapping[str, Callable[[str], ApiError]] = {
    "REFERRAL_NOT_FOUND": lambda text: ApiError(400, "referral_not_found", text),
    "OWN_REFERRAL_CODE": lambda text: ApiError(400, "own_referral_code", text),
    "ALREADY_REFERRED": lambda text: ApiError(400, "already_referred", text),
    "ALREADY_PURCHASED": lambda text: ApiError(400, "already_purchased", text),
    "REFERRAL_LOOP": lambda text: ApiError(400, "referral_loop", text),
    "SAME_PERSON": lambda text: ApiError(400, "referral_same_person", text),
    "SAME_ORIGIN": lambda text: ApiError(400, "referral_same_origin", text),
    "REFERRAL_USED_UP": lambda text: ApiError(400, "referral_used_up", text),
    "REFERRAL_BUSY": lambda text: ApiError(409, "referral_busy", text),
}
"""By the code of a refusal."""


class Referrals:
    """One for each process."""

    def __init__(
        self, people: People, attempts: Attempts, terms: ReferralTerms, public_url: str | None
    ) -> None:
        """Links come from the settings alone, never from a request."""
        self._people, self._attempts = people, attempts
        self._terms, self._public_url = terms, public_url
        self.store = Store(people, terms)

    async def code(self, caller: Caller, host: str) -> tuple[str, bool]:
        """The caller's code, and whether it was made now. Raises ApiError 503."""
        user_id = UUID(caller.user_id)
        return await self._run(self.store.code_for, user_id, host, caller.actor)

    def link(self, code: str) -> str | None:
        """Where somebody registers by a code; None where this gateway knows no page of its own."""
        return f"{self._public_url.rstrip('/')}/register?ref={code}" if self._public_url else None

    async def check(self, text: str, caller: Caller, host: str) -> dict[str, Any]:
        """Whether the caller may claim a code, and whose it is. Raises ApiError 429 or 503."""
        await self._run(self._count, host, caller.user_id)
        try:
            whose = await self._run(self.store.check, text, UUID(caller.user_id), host)
        except ReferralRefusedError as error:
            return {"valid": False, "message": sentence(error), "error_code": error.code}
        return {
            "valid": True,
            "message": "The code is good.",
            "referrer_username": whose.username,
            "referrer_email": whose.masked_address,
        }

    async def claim(self, text: str, caller: Caller, host: str) -> None:
        """The caller came by a code. Raises ApiError 400, 409, 429 or 503."""
        await self._run(self._count, host, caller.user_id)
        try:
            await self._run(self.store.claim, text, UUID(caller.user_id), host, caller.actor)
        except ReferralRefusedError as error:
            raise REFUSED[error.code](sentence(error)) from None

    async def at_registration(
        self, user_id: UUID, text: str | None, host: str
    ) -> dict[str, Any] | None:
        """What became of a code that somebody registered with; never refuses the registration."""
        if not text:
            return None
        try:
            await self._run(self.store.claim, text, user_id, host, f"user:{user_id}")
        except ReferralRefusedError as error:
            return {"accepted": False, "message": sentence(error), "error_code": error.code}
        except ApiError as error:
            return {"accepted": False, "message": error.message, "error_code": error.code}
        return {"accepted": True, "message": "You came by this code.", "error_code": None}

    async def named(self, users: Sequence[UUID]) -> Mapping[UUID, tuple[str | None, str]]:
        """Names and masked addresses of users, for who brought them. Raises ApiError 503."""
        return await self._run(self._named, users[:NAMED_MAX])

    def _named(self, users: Sequence[UUID]) -> dict[UUID, tuple[str | None, str]]:
        with self._people.connect() as connection:
            return {each: self.store.whose(connection, each) for each in users}

    def _count(self, host: str, user: str) -> None:
        with self._people.connect() as connection:
            self._attempts.count(connection, CODES_OF_ORIGIN, host)
            self._attempts.count(connection, CODES_OF_USER, user)

    async def _run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What a command gives, on the lane of people. Raises ApiError, ReferralRefusedError."""
        try:
            return await self._people.run(work, *values, **named)
        except (PersistenceError, psycopg.OperationalError, TimeoutError):
            raise ledger_unavailable() from None
