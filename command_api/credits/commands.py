"""Giving credits to the user of a key: through the append of the process that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg

from command_api.money.grants import Grant, GrantKeyReusedError, append_grant
from domain.errors import InvalidAmountError
from domain.ledger.lots import GrantKind
from edge.errors import ApiError, bad_request, unavailable
from event_store.beside.users import read_available
from event_store.errors import EventStoreError

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.identity.vault import Vault
    from edge.caller import Caller
    from event_store.append.committer import Committer
    from event_store.postgres.database import Connects

_OWNER = """
SELECT k.user_id, k.account_id FROM api_key k JOIN user_secret u ON u.user_id = k.user_id
WHERE (k.key_id::text = %s OR k.key_hash = ANY(%s)) AND NOT k.deleted
  AND u.wrapped_key IS NOT NULL LIMIT 1
"""


class Owner(NamedTuple):
    """Whose a key is."""

    user_id: UUID
    account_id: UUID


class Credits:
    """One for each process."""

    def __init__(self, committer: Committer, vault: Vault) -> None:
        """The append of the process's calls; the vault knows keys by their hash."""
        self._committer, self._vault = committer, vault

    def owner_of(self, connects: Connects, key: str) -> Owner:
        """The owner of a key that is named by its id or itself. Blocks; raises ApiError 404."""
        with connects.connect() as connection:
            row = connection.execute(_OWNER, [key, self._vault.key_hashes(key.encode())]).fetchone()
        if row is None:
            message = "There is no such API key, or its user has left."
            raise ApiError(404, "api_key_not_found", message)
        return Owner(*row)

    async def give(self, caller: Caller, grant: Grant) -> tuple[str, bool]:
        """Give credits; returns the lot, and whether this was the first time with this key.

        Raises ApiError 400, 422 or 503.
        """
        try:
            return await append_grant(self._committer, grant, actor=caller.actor)
        except GrantKeyReusedError:
            message = "This Idempotency-Key is of another grant: nothing was granted now."
            raise ApiError(422, "idempotency_key_reused", message) from None
        except InvalidAmountError as error:
            raise bad_request("invalid_value", f"credits: {error}.", "credits") from None
        except EventStoreError:
            message = (
                "The ledger cannot be reached, and it is not known whether the credits were given. "
                "Send the same again with the same Idempotency-Key; without one, look first."
            )
            raise unavailable("ledger_unavailable", message) from None


def grant_of(caller: Caller, owner: Owner, amount: int, *, reason: str, key: str | None) -> Grant:
    """The grant of an admin, in nano-USD.

    A key is the admin's own: another one's of the same text is another.
    """
    return Grant(
        account_id=owner.account_id,
        amount=amount,
        kind=GrantKind.ADMIN_CREDIT,
        reason=reason,
        idempotency_key=key and f"admin {caller.user_id} {key}",
    )


def balance_of(connects: Connects, account_id: UUID) -> int | None:
    """What the account can spend, nano-USD; None where that cannot be read now. Blocks."""
    try:
        with connects.connect() as connection:
            return read_available(connection, account_id)
    except psycopg.Error:
        return None
