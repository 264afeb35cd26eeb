"""Sending people to a provider, and taking the provider's word when they come back."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from command_api.identities.store import Store
from command_api.sessions.attempts import TOKENS_OF_ORIGIN
from command_api.sessions.once import STATE
from domain.errors import InvalidCommandError
from domain.identity.links import check_return_path
from edge.errors import AUTHENTICATION, ApiError, bad_request, unavailable
from providers.login.port import Asked, LoginRefusedError, LoginUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from command_api.identities.store import Found
    from command_api.sessions.once import Note
    from command_api.sessions.reception import Reception, Refer, SecondStep, Whence
    from command_api.sessions.sessions import Pair
    from edge.caller import Caller
    from providers.login.port import Identity, LoginProvider
    from providers.login.privy import PrivyTokens

logger = logging.getLogger("gatewayz.login")

SECRET_BYTES = 32
CODE_CHARACTERS_MAX = 1_000


class Started(NamedTuple):
    """Where the browser goes, and the cookie by which it is known when it comes back."""

    url: str
    cookie: str


class Back(NamedTuple):
    """Who came back from a provider, and where they want to go; an error in the place of both."""

    target: str
    found: Found | None
    how: str
    error: ApiError | None = None


class ByPrivy(NamedTuple):
    """What a Privy token opened."""

    found: Found
    subject: str
    method: str
    name: str | None
    address: str
    api_key: str | None
    available: int
    second_step: Pair | SecondStep | None


class Identities:
    """The commands; one for each process."""

    def __init__(
        self,
        reception: Reception,
        providers: Mapping[str, LoginProvider],
        privy: PrivyTokens | None,
        public_url: str | None,
        give_trial: Callable[[UUID], Awaitable[None]],
        refer: Refer,
    ) -> None:
        """`give_trial` gives an account its trial; a second time changes nothing.

        `refer` takes the code by which somebody came.
        """
        self.refer = refer
        self.tokens, self.public_url = reception.tokens, (public_url or "").rstrip("/")
        self._reception, self._people, self._store = reception, reception.people, Store(reception)
        self._providers, self._privy, self._give_trial = providers, privy, give_trial

    @property
    def names(self) -> list[str]:
        """The providers that can be asked."""
        return sorted(self._providers) if self.public_url else []

    async def start(self, name: str, return_to: str, host: str) -> Started:
        """Ask a provider. Raises ApiError 400, 404, 429, 501 or 503."""
        provider = self._provider(name)
        try:
            path = check_return_path(return_to) if return_to else ""
        except InvalidCommandError as error:
            raise bad_request("invalid_value", f"return_to: {error}.", "return_to") from None
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, host)
        cookie = secrets.token_urlsafe(SECRET_BYTES)
        nonce, verifier = (secrets.token_urlsafe(SECRET_BYTES) for _ in range(2))
        said = {
            "provider": name,
            "browser": _digest(cookie),
            "nonce": nonce,
            "verifier": verifier,
            "path": path,
        }
        state = await self._people.run(self._stated, said)
        try:
            url = await provider.address_to_ask(
                Asked(state, nonce, verifier, self._redirect_uri(name))
            )
        except LoginUnavailableError as error:
            raise _away(error) from None
        return Started(url, cookie)

    async def back(self, name: str, given: Mapping[str, str], cookie: str, host: str) -> Back:
        """Who came back. Raises ApiError 400, 404, 429 or 501 where it is not known from where.

        Any other error is given back, for the page that the person wants to go to.
        """
        provider = self._provider(name)
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, host)
        state = given.get("state", "")
        note = await self._people.run(self._spent, state)
        if (
            note is None
            or note.said["provider"] != name
            or not hmac.compare_digest(note.said["browser"], _digest(cookie))
        ):
            message = (
                "This sign-in was not begun in this browser, is over, or was done already: begin "
                "it anew."
            )
            raise bad_request("invalid_login_state", message)
        target = self._target(note.said["path"])
        try:
            identity = await self._who(provider, note, state, given)
            return Back(target, await self._entered(identity), name)
        except ApiError as error:
            return Back(target, None, name, error)

    async def admit(self, back: Back, whence: Whence) -> Pair | SecondStep:
        """What they get who came back. Raises ApiError."""
        if back.found is None:
            assert back.error is not None
            raise back.error
        return await self._people.run(self._store.admit, back.found.user_id, back.how, whence)

    async def code_for(self, back: Back) -> str:
        """A code for the page that they go back to."""
        assert back.found is not None
        return await self._people.run(self._store.code_for, back.found.user_id, back.how)

    async def exchange(self, code: str, whence: Whence) -> Pair | SecondStep:
        """What a code stands for. Raises ApiError 401 or 429."""
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, whence.host)
        return await self._people.run(self._store.exchange, code, whence)

    async def by_privy(self, token: str, email: str | None, whence: Whence) -> ByPrivy:
        """Whose account a Privy token opens. Raises ApiError 400, 401, 403, 429, 501 or 503.

        An address that the request names is taken for a new user alone, and is not verified.
        """
        if self._privy is None:
            message = (
                "Privy's tokens cannot be verified here: the operator has to set "
                "GATEWAYZ_PRIVY_APP_ID and GATEWAYZ_PRIVY_VERIFICATION_KEY."
            )
            raise ApiError(501, "privy_not_set_up", message)
        await self._people.run(self._reception.count, TOKENS_OF_ORIGIN, whence.host)
        try:
            read = await self._privy.read(token)
        except LoginRefusedError as error:
            raise _refused(error) from None
        except LoginUnavailableError as error:
            raise _away(error) from None
        if not await self._people.run(self._store.first_shown, _payload(token), read.ends_s):
            message = "This token was shown before: get a new one from Privy."
            raise ApiError(401, "login_refused", message, kind=AUTHENTICATION)
        identity = read.identity
        if identity.address is None:
            identity = identity._replace(address=email, verified=False)
        found = await self._entered(identity)
        key, available, address = await self._people.run(self._store.key_of, found.user_id)
        step = None
        if await self._people.run(self._store.wants_second_step, found.user_id):
            key = None
            step = await self._people.run(self._store.admit, found.user_id, "privy", whence)
        name = identity.name
        return ByPrivy(found, identity.subject, read.method, name, address, key, available, step)

    async def listed(self, caller: Caller) -> list[dict[str, Any]]:
        """What is linked to the caller."""
        return await self._people.run(self._store.listed, UUID(caller.user_id))

    async def unlink(self, caller: Caller, provider: str) -> None:
        """It opens nothing any more. Raises ApiError 404."""
        await self._people.run(self._store.unlink, UUID(caller.user_id), provider)

    async def _who(
        self, provider: LoginProvider, note: Note, state: str, given: Mapping[str, str]
    ) -> Identity:
        code, refusal = given.get("code", ""), given.get("error", "")
        if refusal or not 0 < len(code) <= CODE_CHARACTERS_MAX:
            message = "The provider, or whoever sat before it, did not allow the sign-in."
            raise ApiError(401, "login_refused", message, kind=AUTHENTICATION)
        said = note.said
        asked = Asked(state, said["nonce"], said["verifier"], self._redirect_uri(said["provider"]))
        try:
            return await provider.who(code, asked)
        except LoginRefusedError as error:
            raise _refused(error) from None
        except LoginUnavailableError as error:
            raise _away(error) from None

    async def _entered(self, identity: Identity) -> Found:
        """Each step can be done again: who dies between them begins anew, and gets all of them."""
        found = await self._people.run(self._store.find, identity)
        if not found.linked:
            if found.verified:
                await self._give_trial(found.account_id)
            await self._people.run(self._store.link, found, identity)
        return found

    def _provider(self, name: str) -> LoginProvider:
        provider = self._providers.get(name)
        if provider is None:
            there = ", ".join(self._providers) or "none"
            message = f"There is no login provider of this name here; there are: {there}."
            raise ApiError(404, "provider_not_found", message)
        if not self.public_url:
            message = (
                "A provider sends people back to an address, and this gateway does not know its "
                "own: its operator has to set GATEWAYZ_PUBLIC_URL."
            )
            raise ApiError(501, "login_not_set_up", message)
        return provider

    def _redirect_uri(self, name: str) -> str:
        return f"{self.public_url}/auth/oidc/{name}/callback"

    def _target(self, path: str) -> str:
        """An address of our own, whose host no request can choose; empty for none."""
        if not path:
            return ""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    def _stated(self, said: dict[str, Any]) -> str:
        with self._people.connect() as connection:
            return self._reception.once.give(connection, STATE, **said)

    def _spent(self, state: str) -> Note | None:
        with self._people.connect() as connection:
            return self._reception.once.spend(connection, state, STATE)


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _payload(token: str) -> str:
    """What is signed: the signature itself can be written in two ways (ECDSA is malleable)."""
    return token.rpartition(".")[0]


def _refused(error: LoginRefusedError) -> ApiError:
    said = str(error)
    message = f"{said[:1].upper()}{said[1:]}: sign in there anew."
    return ApiError(401, "login_refused", message, kind=AUTHENTICATION)


def _away(error: LoginUnavailableError) -> ApiError:
    logger.warning("%s", error)
    return unavailable("login_unavailable", "The login provider cannot be asked now: try again.")
