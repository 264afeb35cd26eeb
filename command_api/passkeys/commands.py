"""Making, showing and removing passkeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.passkeys.party import Party
from command_api.passkeys.store import Store, no_passkey
from command_api.sessions.attempts import TOKENS_OF_ORIGIN
from domain.errors import InvalidCommandError
from domain.identity.second_factors import check_passkey_name
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.passkeys.schemas import Ask
    from command_api.sessions.reception import Reception, Whence
    from command_api.sessions.sessions import Pair
    from edge.caller import Caller

    Prove = Callable[[Caller, str | None, str | None, str], Awaitable[None]]
    """Raises ApiError 401 unless password or code are the caller's; last where they ask from."""


class Passkeys:
    """The commands; one for each process."""

    def __init__(self, reception: Reception, public_url: str | None, prove: Prove) -> None:
        """Nothing is connected yet."""
        self.tokens = reception.tokens
        self._reception, self._people, self._prove = reception, reception.people, prove
        self._party = Party(public_url)
        self._store = Store(reception, self._party)

    async def options(self, caller: Caller, ask: Ask, host: str) -> dict[str, Any]:
        """What a browser needs to make one. Raises ApiError 400, 401, 429 or 501."""
        self._party.need()
        await self._prove(caller, ask.password, ask.code, host)
        return await self._people.run(self._store.options, UUID(caller.user_id))

    async def add(self, caller: Caller, credential: dict[str, Any], name: str) -> str:
        """Keep a new one; returns its id. Raises ApiError 400 or 501."""
        self._party.need()
        user_id, text = UUID(caller.user_id), _name(name)
        return await self._people.run(self._store.add, user_id, credential, text)

    async def challenge(self, host: str) -> dict[str, Any]:
        """What a browser needs to show one. Raises ApiError 429 or 501."""
        self._party.need()
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, host)
        return await self._people.run(self._store.challenge)

    async def sign_in(self, credential: dict[str, Any], whence: Whence) -> Pair:
        """A session. Raises ApiError 401, 429 or 501."""
        self._party.need()
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, whence.host)
        return await self._people.run(self._store.sign_in, credential, whence)

    async def listed(self, caller: Caller) -> list[dict[str, Any]]:
        """The caller's passkeys."""
        return await self._people.run(self._store.listed, UUID(caller.user_id))

    async def rename(self, caller: Caller, passkey_id: str, name: str) -> None:
        """Call one otherwise. Raises ApiError 400 or 404."""
        user_id, text = UUID(caller.user_id), _name(name)
        await self._people.run(self._store.rename, user_id, _id(passkey_id), text)

    async def remove(self, caller: Caller, passkey_id: str) -> None:
        """One opens nothing any more. Raises ApiError 404."""
        await self._people.run(self._store.remove, UUID(caller.user_id), _id(passkey_id))


def _name(name: str) -> str:
    try:
        return check_passkey_name(name)
    except InvalidCommandError as error:
        raise bad_request("invalid_value", f"{error}.", "name") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise no_passkey() from None
