"""Requests over HTTP: asked for, listed, approved and declined, and what refusals become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.money import approvals
from command_api.money.approvals import Actor, Rule
from domain.approvals.requests import (
    ApprovalOverError,
    OwnRequestError,
    RequestReusedError,
    Status,
    UnknownApprovalError,
)
from domain.errors import DomainError, InvalidAmountError
from domain.events.base import By
from domain.pricing.money import format_usd
from edge.clients import client_of
from edge.errors import PERMISSION, ApiError, bad_request, ledger_unavailable, sentence, unavailable
from event_store.errors import EventStoreError
from event_store.ids import now_iso, to_iso
from projections.engine.projection import select_on
from projections.money.approvals import read_approvals

if TYPE_CHECKING:
    from fastapi import Request

    from command_api.identity.people import People
    from command_api.money.grants import Grant
    from domain.approvals.requests import Approval
    from edge.caller import Caller
    from event_store.append.committer import Committer

LISTED_MAX = 1_000


class Approvals:
    """One for each process."""

    def __init__(self, people: People, committer: Committer, rule: Rule) -> None:
        """Through the connections of people, and the append of the process's calls."""
        self._people, self._committer, self.rule = people, committer, rule

    async def request(self, request: Request, caller: Caller, grant: Grant) -> Approval:
        """Ask for a grant; once it is approved, it is carried out. Raises ApiError."""
        actor = self._actor(request, caller, grant.reason)
        order = approvals.order_of(grant)
        found: Approval = await self._run(
            approvals.request, self._people.events, self.rule, order, actor
        )
        if found.status(now_iso()) is Status.APPROVED:
            await self._carry_out(found, caller.actor)
        return found

    async def decide(
        self, request: Request, caller: Caller, approval_id: str, reason: str, *, approve: bool
    ) -> tuple[Approval, bool]:
        """Approve, and carry it out, or decline; whether credits moved now. Raises ApiError."""
        try:
            named = UUID(approval_id)
        except ValueError:
            raise _told(UnknownApprovalError("there is no request with this id")) from None
        actor = self._actor(request, caller, reason)
        found: Approval = await self._run(
            approvals.decide, self._people.events, named, actor, approve=approve
        )
        return found, approve and await self._carry_out(found, caller.actor)

    async def listed(self, *, open_only: bool, limit: int) -> list[dict[str, Any]]:
        """The newest first. Raises ApiError."""
        found: list[dict[str, Any]] = await self._run(self._listed, open_only, limit)
        return found

    def _listed(self, open_only: bool, limit: int) -> list[dict[str, Any]]:  # noqa: FBT001
        with self._people.connect() as connection:
            rows = read_approvals(select_on(connection), open_only=open_only, limit=limit)
        return [shown(row) for row in rows]

    async def _run(self, work: Any, /, *values: Any, **named: Any) -> Any:
        try:
            return await self._people.run(work, *values, **named)
        except DomainError as error:
            raise _told(error) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    async def _carry_out(self, approval: Approval, actor: str) -> bool:
        try:
            return await approvals.carry_out(self._committer, approval, actor=actor)
        except InvalidAmountError as error:
            raise bad_request("invalid_value", f"credits: {error}.", "credits") from None
        except EventStoreError:
            message = "It is approved, and the ledger cannot be reached now: approve it again."
            raise unavailable("ledger_unavailable", message) from None

    def _actor(self, request: Request, caller: Caller, reason: str) -> Actor:
        origin = self._people.vault.origin(client_of(request))
        return Actor(caller.actor, By(caller.user_id, origin, reason))


def shown(row: Any) -> dict[str, Any]:
    """A row as it is told: its status by the present instant."""
    now, decide_by = now_iso(), to_iso(row.decide_by)
    waiting = Status.PENDING if now < decide_by else Status.EXPIRED
    return {
        "approval_id": str(row.approval_id),
        "status": row.decision or waiting,
        "act": row.act,
        "account_id": str(row.account_id),
        "amount_nano_usd": row.amount_nano_usd,
        "amount_usd": format_usd(row.amount_nano_usd),
        "reason": row.reason,
        "requested_by": row.requested_by,
        "requested_at": to_iso(row.requested_at),
        "decide_by": decide_by,
        "decided_by": row.decided_by,
        "decided_at": row.decided_at and to_iso(row.decided_at),
        "carried_out": row.carried_out,
    }


def _told(error: DomainError) -> ApiError:
    text = sentence(error)
    match error:
        case UnknownApprovalError():
            return ApiError(404, "approval_not_found", text)
        case OwnRequestError():
            return ApiError(403, "own_request", text, kind=PERMISSION)
        case ApprovalOverError():
            return ApiError(409, "approval_over", text)
        case RequestReusedError():
            return ApiError(422, "idempotency_key_reused", text)
        case _:
            return bad_request("invalid_value", text)
