"""Giving: who may, from which account to which, and how much at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import psycopg

from command_api.gifts.schemas import Source
from command_api.money.debits import (
    Debited,
    DebitKeyReusedError,
    NotEnoughToTransferError,
    Transfer,
    append_transfer,
)
from domain.errors import DomainError, InvalidAmountError
from domain.organisations.roles import Act, NotAMemberError, check_act
from domain.pricing.money import format_usd
from edge.access import refused_act
from edge.errors import INSUFFICIENT_QUOTA, ApiError, bad_request, ledger_unavailable, unavailable
from event_store.beside.organisations import read_memberships
from event_store.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.gifts.schemas import Gift
    from command_api.identity.people import People
    from edge.caller import Caller
    from event_store.append.committer import Committer

    Counts = Callable[[psycopg.Connection[Any], str], None]


class _Ends(NamedTuple):
    giver: UUID
    taker: UUID


class Gifts:
    """One for each process."""

    def __init__(
        self, people: People, committer: Committer, count: Counts, *, nano_usd_max: int
    ) -> None:
        """`count` is told of each gift of a user, and raises ApiError 429 for one too many."""
        self._people, self._committer, self._count = people, committer, count
        self._most = nano_usd_max

    async def give(
        self, caller: Caller, organisation_id: str, gift: Gift, key: str | None
    ) -> Debited:
        """Move credits to another member. Raises ApiError 400, 402, 403, 404, 422, 429 or 503."""
        amount, reason = gift.nano_usd, gift.said
        if amount > self._most:
            message = (
                f"amount: one gift is at most {format_usd(self._most)} USD (GATEWAYZ_GIFT_USD_MAX)."
            )
            raise bad_request("invalid_value", message, "amount")
        try:
            ends = await self._people.run(self._ends, caller, organisation_id, gift)
        except DomainError as error:
            raise refused_act(error) or bad_request("invalid_value", str(error)) from None
        except psycopg.OperationalError:
            raise ledger_unavailable() from None
        transfer = Transfer(
            account_id=ends.giver,
            to_account_id=ends.taker,
            debit_key=f"gift {caller.user_id} {key or uuid4()}",
            amount=amount,
            reason=": ".join(each for each in (f"gift of user {caller.user_id}", reason) if each),
        )
        return await self._moved(transfer, caller.actor)

    def _ends(self, caller: Caller, organisation_id: str, gift: Gift) -> _Ends:
        """Both accounts. Raises ApiError, NotAMemberError, ActForbiddenError."""
        of, taker = _uuid(organisation_id), _uuid(gift.user_id)
        user = UUID(caller.user_id)
        if of is None:
            message = "there is no organisation of yours with this id"
            raise NotAMemberError(message)
        act = Act.GIVE if gift.source is Source.ORGANISATION else Act.READ
        with self._people.connect() as connection:
            mine = read_memberships(connection, user, of)
            check_act(mine[0].role if mine else None, act)
            theirs = read_memberships(connection, taker, of) if taker else []
            own = read_memberships(connection, taker, taker) if taker and theirs else []
            if not own:
                message = "The organisation has no such member."
                raise ApiError(404, "member_not_found", message)
            if taker == user:
                message = "user_id: nobody gives to themselves; name another member."
                raise bad_request("invalid_value", message, "user_id")
            giver = mine[0].account_id
            if gift.source is Source.OWN:
                giver = read_memberships(connection, user, user)[0].account_id
            self._count(connection, caller.user_id)
        return _Ends(giver, own[0].account_id)

    async def _moved(self, transfer: Transfer, actor: str) -> Debited:
        try:
            return await append_transfer(self._committer, transfer, actor=actor)
        except DebitKeyReusedError:
            message = "This Idempotency-Key is of another gift: nothing was given now."
            raise ApiError(422, "idempotency_key_reused", message) from None
        except NotEnoughToTransferError as error:
            message = f"{error}; credits whose payment is disputed stay too."
            raise ApiError(402, "insufficient_credits", message, kind=INSUFFICIENT_QUOTA) from None
        except InvalidAmountError as error:
            raise bad_request("invalid_value", f"amount: {error}.", "amount") from None
        except EventStoreError:
            message = (
                "The ledger cannot be reached, and it is not known whether the credits were given. "
                "Send the same again with the same Idempotency-Key; without one, look first."
            )
            raise unavailable("ledger_unavailable", message) from None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
