"""Limits over HTTP: a user sees and lowers those of his keys, an administrator sets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from command_api.limits.book import FORGET
from command_api.limits.commands import LimitCommands, limits_of_keys
from command_api.limits.queries import (
    alerts,
    config_of,
    keys_of_user,
    plan_of,
    system_usage,
    usage_of_keys,
)
from command_api.limits.schemas import admin_limits_in, limits_in
from domain.errors import InvalidCommandError
from domain.identity.permissions import Permission
from domain.limits.rates import FIELDS, NO_LIMITS, SIX, LimitScope, RateLimits, SetBy, above
from domain.limits.rates import tightest as tightest_of
from domain.limits.settings import Target
from domain.limits.windows import REASONS, WINDOWS
from edge.access import Needs
from edge.caller import Caller
from edge.errors import PERMISSION, ApiError, bad_request
from edge.replies import check_page, json_reply, timestamp
from event_store.beside.channels import LIMITS_CHANNEL
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from command_api.identity.people import People
    from command_api.limit_counters.bound import Bound, Outcome
    from command_api.limits.gate import RateGate
    from command_api.limits.queries import OwnKey
    from event_store.postgres.database import Connects

router = APIRouter()
ALERTS, ALERTS_MAX = 100, 1_000
KEY_CHARACTERS_MAX = 512
Reader = Annotated[Caller, Depends(Needs(Permission.READ_RATE_LIMITS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_RATE_LIMITS).caller)]
Admin = Annotated[Caller, Depends(Needs(Permission.ADMIN_RATE_LIMITS).caller)]


class LimitParts(NamedTuple):
    """What these routes are given; hung on the application as `app.state.limits`."""

    gate: RateGate
    people: People
    find_key: Callable[[str], UUID]
    """The id of a key named by its id or itself; raises InvalidCommandError."""


async def _limits(request: Request) -> LimitParts:
    found: LimitParts = request.app.state.limits
    return found


Limits = Annotated[LimitParts, Depends(_limits)]


def _refused(error: InvalidCommandError) -> ApiError:
    return bad_request("invalid_value", f"{error}.")


def _set(people: People, actor: str, targets: Sequence[Target], limits: dict[str, int]) -> None:
    """On the lane of people; raises InvalidCommandError."""
    LimitCommands(people.events, actor=actor).set(targets, limits)


def _above(ceiling: dict[str, int], of_plan: dict[str, int], plan: str | None) -> ApiError:
    """A 403 that says what there may be, and what of it the plan allows."""
    message = f"That is above what you may have: {_listed(ceiling)} at most. Ask for less."
    extra: dict[str, Any] = {"ceiling": ceiling}
    if plan is not None:
        message += f" The plan {plan} allows this key {_listed(of_plan)}."
        extra["plan"] = plan
    return ApiError(403, "limit_above_ceiling", message, kind=PERMISSION, extra=extra)


def _listed(limits: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.items())


def _set_own(
    people: People, caller: Caller, key_id: str | None, given: dict[str, int]
) -> tuple[list[OwnKey], dict[str, RateLimits]]:
    """Set a user's own limits of one of his keys, or of all. Raises ApiError 403 and 404.

    None may be above what the operator set for him, or for the key, or what his plan allows.
    """
    keys = keys_of_user(people, caller.user_id, key_id)
    key_ids = [each.key_id for each in keys]
    known, wanted = limits_of_keys(people, caller.user_id, key_ids), RateLimits(**given)
    for each in key_ids:
        operator = tightest_of(known.user, known.operator.get(each, NO_LIMITS))
        ceiling = above(wanted, tightest_of(operator, known.of_plan(each)))
        if ceiling:
            of_plan = above(wanted, known.of_plan(each))
            raise _above(ceiling, of_plan, known.plans[each].plan if of_plan else None)
    targets = [Target(LimitScope.KEY, each, SetBy.OWNER) for each in key_ids]
    _set(people, caller.actor, targets, given)
    return keys, limits_of_keys(people, caller.user_id, key_ids).effective


def _status(held: tuple[Bound, Outcome] | None) -> dict[str, int | None]:
    """What each window leaves, of all limits that bind a key; null where there is none."""
    left = held[0].left(held[1]) if held else {}
    return {
        f"{unit}_remaining_{window.name}": left[name][1] if name in left else None
        for window in WINDOWS
        for unit in ("requests", "tokens")
        for name in (f"{unit}_per_{window.name}",)
    }


@router.get("/user/rate-limits")
async def own_limits(parts: Parts, limits: Limits, caller: Reader) -> Response:
    """The caller's keys, with their limits, what they were used for, and what is left."""
    account = parts.account
    keys = await account.run(keys_of_user, caller.user_id)
    key_ids = [each.key_id for each in keys]
    known = await account.run(limits_of_keys, caller.user_id, key_ids)
    usage = await account.run(usage_of_keys, parts.sinks, key_ids)
    configs = [
        {
            "key_id": key.key_id,
            "api_key": key.masked,
            "key_name": key.name,
            "rate_limit_config": config_of(known.effective.get(key.key_id, NO_LIMITS)),
            "plan": plan_of(known, key.key_id),
            "usage_stats": usage[key.key_id],
            "current_status": _status(await limits.gate.peek(key.key_id, caller.user_id)),
        }
        for key in keys
    ]
    return json_reply(
        {
            "status": "success",
            "user_id": caller.user_id,
            "rate_limit_configs": configs,
            "timestamp": timestamp(),
        }
    )


@router.put("/user/rate-limits/{key_id}")
async def set_own_limits(key_id: str, request: Request, limits: Limits, caller: Writer) -> Response:
    """Limit one of the caller's keys; never above what the operator set."""
    given = (await limits_in(request)).given()
    try:
        _, effective = await limits.people.run(_set_own, limits.people, caller, key_id, given)
    except InvalidCommandError as error:
        raise _refused(error) from None
    return json_reply(
        {
            "status": "success",
            "message": "The limits of the key are set.",
            "key_id": key_id,
            "updated_config": config_of(effective.get(key_id, NO_LIMITS)),
            "timestamp": timestamp(),
        }
    )


@router.post("/user/rate-limits/bulk-update")
async def set_all_own_limits(request: Request, limits: Limits, caller: Writer) -> Response:
    """Limit all of the caller's keys alike."""
    given = (await limits_in(request)).given()
    try:
        keys, _ = await limits.people.run(_set_own, limits.people, caller, None, given)
    except InvalidCommandError as error:
        raise _refused(error) from None
    return json_reply(
        {
            "status": "success",
            "message": "The limits of your keys are set.",
            "updated_count": len(keys),
            "updated_config": given,
            "timestamp": timestamp(),
        }
    )


@router.get("/user/rate-limits/usage/{key_id}")
async def own_usage(
    key_id: str,
    parts: Parts,
    caller: Reader,
    time_window: Literal["minute", "hour", "day"] = "minute",
) -> Response:
    """What one of the caller's keys was used for in the present minute, hour or day (UTC)."""
    account = parts.account
    (key,) = await account.run(keys_of_user, caller.user_id, key_id)
    known = await account.run(limits_of_keys, caller.user_id, [key_id])
    stats = (await account.run(usage_of_keys, parts.sinks, [key_id]))[key_id][time_window]
    seconds = {each.name: each.span // 1_000 for each in WINDOWS}[time_window]
    return json_reply(
        {
            "status": "success",
            "key_id": key_id,
            "key_name": key.name,
            "time_window": time_window,
            "usage_stats": {
                **stats,
                "requests_per_second": round(stats["total_requests"] / seconds, 6),
            },
            "rate_limit_config": config_of(known.effective.get(key_id, NO_LIMITS)),
            "plan": plan_of(known, key_id),
            "timestamp": timestamp(),
        }
    )


@router.get("/user/limit")
async def own_limit(limits: Limits, caller: Reader) -> Response:
    """The lowest limits that bind the key that asks, and whether it may call now."""
    held = await limits.gate.peek(caller.key_id, caller.user_id)
    left = held[0].left(held[1]) if held else {}
    spent = [REASONS[FIELDS.index(name)] for name, (_, rest) in left.items() if rest == 0]
    resets = {
        each.name: each.span + each.bucket - held[1].now % each.bucket if held else None
        for each in WINDOWS
    }
    return json_reply(
        {
            "status": "success",
            "api_key": caller.masked,
            "current_limits": {name: left[name][0] if name in left else None for name in FIELDS},
            "current_usage": {
                "allowed": not spent,
                "reason": spent[0] if spent else "",
                **{name: left[name][0] - left[name][1] if name in left else None for name in SIX},
            },
            "reset_times": {
                name: None if ms is None else -(-ms // 1_000) for name, ms in resets.items()
            },
            "timestamp": timestamp(),
        }
    )


@router.post("/admin/limit")
async def set_limit(request: Request, limits: Limits, caller: Admin) -> Response:
    """Set an operator's limits of a key."""
    body = await admin_limits_in(request)
    given = body.rate_limits.given()

    def work() -> None:
        key_id = limits.find_key(body.api_key[:KEY_CHARACTERS_MAX])
        target = Target(LimitScope.KEY, str(key_id), SetBy.OPERATOR)
        _set(limits.people, caller.actor, [target], given)

    try:
        await limits.people.run(work)
    except InvalidCommandError as error:
        raise _refused(error) from None
    message = "The limits of the key are set."
    return json_reply({"status": "success", "message": message, "rate_limits": given})


@router.get("/admin/rate-limits/system")
async def system(parts: Parts, caller: Admin) -> Response:
    """What everybody used in the present minute, hour and day (UTC)."""
    del caller
    stats = await parts.account.run(system_usage, parts.sinks)
    return json_reply({"status": "success", "system_stats": stats, "timestamp": timestamp()})


@router.get("/admin/rate-limits/alerts")
async def refusals(
    parts: Parts,
    limits: Limits,
    caller: Admin,
    api_key: str | None = None,
    resolved: bool = False,  # noqa: FBT001, FBT002 - the same.
    limit: int = ALERTS,
) -> Response:
    """Whose requests were refused, newest first: one line for each hour, scope and reason."""
    del caller
    check_page(limit, 0, most=ALERTS_MAX)

    def work(connects: Connects) -> list[dict[str, Any]]:
        scope_id = str(limits.find_key(api_key[:KEY_CHARACTERS_MAX])) if api_key else None
        return alerts(connects, scope_id, limit)

    try:
        found = [] if resolved else await parts.account.run(work)
    except InvalidCommandError as error:
        raise _refused(error) from None
    return json_reply(
        {
            "status": "success",
            "total_alerts": len(found),
            "alerts": found,
            "timestamp": timestamp(),
        }
    )


@router.post("/admin/clear-rate-limit-cache")
async def clear_cache(parts: Parts, caller: Admin) -> Response:
    """Have every gateway look the limits up anew; what was counted stays counted."""
    del caller

    def work(connects: Connects) -> None:
        with connects.connect() as connection:
            connection.execute("SELECT pg_notify(%s, %s)", [LIMITS_CHANNEL, FORGET])

    await parts.account.run(work)
    message = "The limits are looked up anew."
    return json_reply({"status": "success", "message": message, "timestamp": timestamp()})
