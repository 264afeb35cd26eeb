"""GET /referral/stats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.replies import json_reply
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.
from query_api.referrals.queries import own_referrals, told

if TYPE_CHECKING:
    from domain.referrals.terms import ReferralTerms

router = APIRouter()
Asker = Annotated[Caller, Depends(Needs(Permission.READ_PROFILE).caller)]
NameUsers = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, tuple[str | None, str]]]]
"""Names of users and their masked addresses, which the command side can open."""


@router.get("/referral/stats")
async def stats(request: Request, parts: Parts, caller: Asker) -> Response:
    """The caller's code, and who came by it."""
    state = request.app.state
    terms: ReferralTerms = state.referral_terms
    name_users: NameUsers = state.name_users
    link: Callable[[str], str | None] = state.referral_link
    found = await parts.account.run(own_referrals, UUID(caller.user_id))
    names = await name_users([each.referee for each in found.referrals])
    return json_reply(told(found, link(found.code) if found.code else None, terms, names))
