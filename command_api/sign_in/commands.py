"""What people do to get in: register, verify, sign in, set a password."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.identity.people import ACTOR
from command_api.mails.waiting import RESET, VERIFY
from command_api.money.grants import Grants
from command_api.sessions.attempts import HOUR_S, RESETS_OF_ORIGIN, TOKENS_OF_ORIGIN, Limit
from command_api.sign_in.passwords import Passwords, common_passwords
from command_api.sign_in.store import Store
from domain.errors import InvalidCommandError
from domain.identity.addresses import check_address
from domain.identity.passwords import check_password
from edge.errors import AUTHENTICATION, ApiError, bad_request, sentence

if TYPE_CHECKING:
    from command_api.identity.credentials import Known
    from command_api.identity.users import NewUser, Registration
    from command_api.sessions.reception import Reception, Refer, SecondStep, Whence
    from command_api.sessions.sessions import Pair
    from command_api.settings import Settings
    from edge.caller import Caller
    from event_store.postgres.database import Database


class SignIn:
    """The commands; one for each process."""

    def __init__(
        self, settings: Settings, database: Database, reception: Reception, refer: Refer
    ) -> None:
        """Nothing is connected yet. `refer` takes the code by which somebody registers."""
        self.refer = refer
        wanted = settings.sign_in
        self.tokens = reception.tokens
        self._passwords = Passwords(wanted.password_threads)
        self._grants, self._trial = Grants(database, actor=ACTOR), settings.trial.terms
        self._registrations = Limit("register", wanted.registrations_per_hour, HOUR_S)
        self._store = Store(reception, settings.mail.public_url)
        self._people, self._outbox = reception.people, reception.outbox
        self._outbox.waiting.makers = {
            VERIFY: self._store.verification_mail,
            RESET: self._store.reset_mail,
        }

    def stop(self) -> None:
        """Begin no more."""
        self._passwords.close()

    async def register(
        self, email: str, wanted: Registration, password: str | None, host: str
    ) -> NewUser:
        """A user with a key, and a mail to verify the address. Raises ApiError 400 or 429."""
        await self._count(self._registrations, host)
        try:
            address = check_address(email)
        except InvalidCommandError as error:
            raise bad_request("invalid_value", sentence(error)) from None
        hashed = None if password is None else await self._new_password(password, address)
        made = await self._people.run(self._store.create, address, wanted, hashed)
        self._outbox.wake()
        return made

    async def verify_email(self, token: str, host: str) -> UUID:
        """The address is the user's; the trial begins. Raises ApiError 400 or 429."""
        await self._count(TOKENS_OF_ORIGIN, host)
        known = await self._people.run(self._store.verify, token)
        await self.give_trial(known.account_id)
        # Last, so that whatever fails before can be done again: each step is done once.
        await self._people.run(self._store.verified, token)
        return known.user_id

    async def give_trial(self, account_id: UUID) -> None:
        """The trial of somebody whose address is verified: once for the account, and the person."""
        if await self._people.run(self._store.first_trial, account_id):
            await self._grants.give_trial(account_id, self._trial)

    async def send_verification(self, user_id: UUID, host: str) -> None:
        """Another mail for an address that is not verified. Raises ApiError 429."""
        await self._count(RESETS_OF_ORIGIN, host)
        await self._people.run(self._store.wish_verification, user_id)
        self._outbox.wake()

    async def sign_in(self, email: str, password: str, whence: Whence) -> Pair | SecondStep:
        """A session, or a second step. Raises ApiError 401, alike for every reason, or 429."""
        known, kept = await self._people.run(self._store.asked, email, whence.host)
        if not await self._passwords.fits(kept, password) or known is None or kept is None:
            message = "Address and password do not go together."
            raise ApiError(401, "invalid_credentials", message, kind=AUTHENTICATION)
        if self._passwords.outdated(kept):
            fresh = await self._passwords.hashed(password)
            await self._people.run(self._store.rehash, known, fresh)
        return await self._people.run(self._store.begin, known, whence)

    async def refresh(self, token: str, host: str) -> Pair:
        """The next pair of tokens. Raises ApiError 401 or 429."""
        await self._count(TOKENS_OF_ORIGIN, host)
        return await self._people.run(self._store.refresh, token)

    async def caller(self, access_token: str) -> Caller:
        """Who calls with an access token. Raises ApiError 401 or 503."""
        shown = self.tokens.read_access(access_token, datetime.now(UTC))
        return await self._people.run(self._store.caller, shown)

    async def sessions_of(self, caller: Caller) -> list[dict[str, Any]]:
        """The caller's living sessions."""
        user_id = UUID(caller.user_id)
        return await self._people.run(self._store.sessions_of, user_id, caller.session_id)

    async def end(self, caller: Caller, session: UUID) -> None:
        """End one of the caller's sessions. Raises ApiError 404."""
        await self._people.run(self._store.end, UUID(caller.user_id), session)

    async def end_all(self, caller: Caller) -> int:
        """End all of the caller's sessions; returns how many."""
        return await self._people.run(self._store.end_all, UUID(caller.user_id))

    async def ask_reset(self, email: str, host: str) -> None:
        """A mail with a token, where the address is known; nobody can tell. Raises ApiError 429."""
        await self._count(RESETS_OF_ORIGIN, host)
        await self._people.run(self._store.ask_reset, email)
        self._outbox.wake()

    async def reset(self, token: str, password: str, host: str) -> None:
        """A new password for the owner of a mailed token. Raises ApiError 400 or 429."""
        await self._count(TOKENS_OF_ORIGIN, host)
        known, address = await self._people.run(self._store.owner_of_reset, token)
        hashed = await self._new_password(password, address)
        await self._people.run(self._store.reset, known, token, hashed)
        self._outbox.wake()

    async def change(self, caller: Caller, current: str, password: str, host: str) -> None:
        """Another password for who knows the present one. Raises ApiError 400, 401 or 429."""
        user_id, keep = UUID(caller.user_id), caller.session_id
        known, kept, address = await self._people.run(self._store.asked_again, user_id, host)
        if not await self._passwords.fits(kept, current):
            message = "The present password is another one; without one, ask for a reset."
            raise ApiError(401, "invalid_credentials", message, kind=AUTHENTICATION)
        hashed = await self._new_password(password, address)
        await self._people.run(self._store.set_password, known, hashed, how="change", keep=keep)
        self._outbox.wake()

    async def is_theirs(self, known: Known, password: str) -> bool:
        """Whether it is the user's present password; the attempt is counted by who asks."""
        kept = self._people.credentials.password_of(known)
        return await self._passwords.fits(kept, password)

    async def _new_password(self, password: str, address: str) -> str:
        """The hash of a password that may be; raises ApiError 400."""
        common = await asyncio.to_thread(common_passwords)
        try:
            check_password(password, address, common)
        except InvalidCommandError as error:
            raise bad_request("invalid_value", sentence(error)) from None
        return await self._passwords.hashed(password)

    async def _count(self, limit: Limit, host: str) -> None:
        await self._people.run(self._store.count, limit, host)
