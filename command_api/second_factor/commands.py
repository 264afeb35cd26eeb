"""Enrolling an authenticator, and showing its codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from command_api.second_factor.schemas import Proof
from command_api.second_factor.store import Store, wrong_code
from domain.errors import InvalidCommandError
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.identity.credentials import Known
    from command_api.sessions.reception import Reception, Whence
    from command_api.sessions.sessions import Pair
    from edge.caller import Caller

T = TypeVar("T")
P = ParamSpec("P")


class SecondFactor:
    """The commands; one for each process."""

    def __init__(
        self, reception: Reception, is_theirs: Callable[[Known, str], Awaitable[bool]]
    ) -> None:
        """`is_theirs` compares a password with the user's."""
        self.tokens = reception.tokens
        self._people, self._store, self._is_theirs = reception.people, Store(reception), is_theirs

    async def shown(self, caller: Caller) -> dict[str, Any]:
        """What opens the account beside the password."""
        return await self._people.run(self._store.shown, UUID(caller.user_id))

    async def enrol(self, caller: Caller, proof: Proof, host: str) -> tuple[str, str]:
        """A secret and its URI, shown this once. Raises ApiError 400, 401 or 429.

        Who has a password shows it: a stolen session must not lock the owner out.
        """
        known = await self._people.run(self._store.counted, UUID(caller.user_id), host)
        if known.sealed_password is not None and not await self._password(known, proof):
            raise wrong_code()
        return await self._people.run(self._store.enrol, known)

    async def confirm(self, caller: Caller, code: str, host: str) -> list[str]:
        """The recovery codes, shown this once. Raises ApiError 400, 401 or 429."""
        known = await self._people.run(self._store.counted, UUID(caller.user_id), host)
        return await self._asked(self._store.confirm, known, code)

    async def new_codes(self, caller: Caller, proof: Proof, host: str) -> list[str]:
        """Other recovery codes. Raises ApiError 400, 401 or 429."""
        known, _ = await self._proven(caller, proof, host)
        return await self._people.run(self._store.new_codes, known)

    async def disable(self, caller: Caller, proof: Proof, host: str) -> None:
        """No second step any more. Raises ApiError 400, 401 or 429."""
        known, how = await self._proven(caller, proof, host)
        await self._people.run(self._store.disable, known, how)

    async def second_step(self, token: str, code: str, whence: Whence) -> Pair:
        """A session. Raises ApiError 400, 401 or 429."""
        return await self._asked(self._store.second_step, token, code, whence)

    async def prove(
        self, caller: Caller, password: str | None, code: str | None, host: str
    ) -> None:
        """Raise ApiError 401 or 429 unless one of them is the caller's, who has one to show."""
        proof = Proof(password, code)
        known = await self._people.run(self._store.counted, UUID(caller.user_id), host)
        if known.sealed_password is not None or known.totp_on:
            await self._shown(known, proof, host)

    async def _proven(self, caller: Caller, proof: Proof, host: str) -> tuple[Known, str]:
        known = await self._people.run(self._store.counted, UUID(caller.user_id), host)
        return known, await self._shown(known, proof, host)

    async def _shown(self, known: Known, proof: Proof, host: str) -> str:
        if await self._password(known, proof):
            await self._people.run(self._store.proven, known, host)
            return "password"
        kind = None
        if proof.code is not None:
            kind = await self._asked(self._store.used, known, proof.code)
        if kind is None:
            raise wrong_code()
        await self._people.run(self._store.proven, known, host)
        return kind

    async def _password(self, known: Known, proof: Proof) -> bool:
        return proof.password is not None and await self._is_theirs(known, proof.password)

    async def _asked(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        try:
            return await self._people.run(work, *values, **named)
        except InvalidCommandError as error:
            raise bad_request("invalid_value", f"{error}.", "code") from None
