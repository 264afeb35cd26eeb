"""GET /plans, /plans/{id}, /subscription/plans; /user/plan and what is below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from domain.plans.catalog import PLANS, UnknownPlanError, plan_named
from edge.access import OPEN
from edge.errors import ApiError, sentence
from edge.replies import json_reply, usd
from query_api.parts import (  # noqa: TC001 - FastAPI reads annotations at run time.
    Parts,
    UsageReader,
)
from query_api.plans.queries import own_plan, read_entitlements, read_usage, told_own, told_plan

if TYPE_CHECKING:
    from domain.ledger.lots import TrialTerms

TRIAL_PLAN = "free"
"""Whose price a trial has."""

router = APIRouter()


def _planless(request: Request) -> bool:
    found: bool = request.app.state.planless
    return found


@router.get("/plans", dependencies=[OPEN])
async def plans() -> Response:
    """Every plan that there is."""
    return json_reply([told_plan(each) for each in PLANS.values()])


@router.get("/plans/{plan_id}", dependencies=[OPEN])
async def plan(plan_id: str) -> Response:
    """One of them, by its number or its name."""
    try:
        return json_reply(told_plan(plan_named(plan_id)))
    except UnknownPlanError as error:
        raise ApiError(404, "plan_not_found", sentence(error)) from None


@router.get("/subscription/plans", dependencies=[OPEN])
async def subscription_plans(request: Request) -> Response:
    """The same, with what the trial gives."""
    terms: TrialTerms = request.app.state.trial
    told = [
        {**told_plan(each), "trial_eligible": each.name == TRIAL_PLAN} for each in PLANS.values()
    ]
    return json_reply(
        {
            "success": True,
            "plans": told,
            "message": f"There are {len(told)} plans.",
            "trial_info": {
                "trial_days": terms.days,
                "trial_credits": usd(terms.nano_usd),
                "trial_tokens": terms.tokens,
                "trial_requests": terms.requests,
                "trial_plan": TRIAL_PLAN,
            },
        }
    )


@router.get("/user/plan")
async def own(request: Request, parts: Parts, caller: UsageReader) -> Response:
    """The caller's plan, with the limits of the caller's key; also one that is over."""
    found = told_own(await parts.account.run(own_plan, caller, planless=_planless(request)))
    if found is None:
        message = "You have no plan: GET /plans lists those there are."
        raise ApiError(404, "plan_not_found", message)
    return json_reply(found)


@router.get("/user/plan/usage")
async def usage(request: Request, parts: Parts, caller: UsageReader) -> Response:
    """What the caller used today and this month (UTC), and what is left."""
    found = await parts.account.run(
        read_usage, caller, planless=_planless(request), wait_s=parts.wait_s
    )
    return json_reply(found)


@router.get("/user/plan/entitlements")
async def entitlements(
    request: Request, parts: Parts, caller: UsageReader, feature: str | None = None
) -> Response:
    """What the caller may."""
    found = await parts.account.run(read_entitlements, caller, feature, planless=_planless(request))
    return json_reply(found)
