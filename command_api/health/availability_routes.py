"""Whether models can be had, and what else can be: the reads below /availability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Response

from command_api.health.desk import LINES_MAX, Desk, Reader
from command_api.health.routes import chosen
from command_api.health.shapes import (
    availability_counts,
    available_line,
    instant,
    window_line,
)
from domain.availability.standing import best
from edge.replies import check_page, json_reply, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command_api.health.queries import ModelState

WINDOWS_SHOWN = 1_000
FALLBACKS_MAX = 50
Status = Literal["available", "degraded", "unknown", "unavailable", "maintenance"]

router = APIRouter()


@router.get("/availability/models")
async def models(
    desk: Desk,
    _: Reader,
    gateway: str | None = None,
    provider: str | None = None,
    status: Status | None = None,
    limit: int = LINES_MAX,
    offset: int = 0,
) -> Response:
    """Each model of each provider, those asked most first."""
    check_page(limit, offset, most=LINES_MAX)
    found = chosen(desk, await desk.board(), gateway, provider)
    shown = [each for each in found if status in {None, str(each.availability)}]
    return json_reply([available_line(each) for each in shown[offset : offset + limit]])


@router.get("/availability/model/{model_id:path}")
async def model(desk: Desk, _: Reader, model_id: str, gateway: str | None = None) -> Response:
    """A model, with what each of its gateways says."""
    states = await desk.states(model_id, gateway)
    lines = [available_line(each) for each in states]
    return json_reply({**_found(model_id, states), "gateways": lines})


@router.get("/availability/check/{model_id:path}")
async def check(desk: Desk, _: Reader, model_id: str, gateway: str | None = None) -> Response:
    """Whether a model can be had now, of the best of its gateways."""
    return json_reply(_found(model_id, await desk.states(model_id, gateway)))


@router.get("/availability/fallback/{model_id:path}")
async def fallback(desk: Desk, _: Reader, model_id: str, gateway: str | None = None) -> Response:
    """Who else offers the model, in the order in which a call tries them."""
    states = await desk.states(model_id, gateway)
    others = await desk.states(model_id, None) if gateway else states
    return json_reply(
        {
            "primary_model": model_id,
            "fallback_models": _fallbacks(others, states[0]),
            "best_available": _best(states) or _best(others),
        }
    )


@router.get("/availability/best/{model_id:path}")
async def best_of(desk: Desk, _: Reader, model_id: str, gateway: str | None = None) -> Response:
    """Under which id the model is best asked for now; null where nowhere."""
    states = await desk.states(model_id, gateway)
    status = best([each.availability for each in states])
    return json_reply({"model_id": model_id, "best_available": _best(states), "status": status})


@router.get("/availability/summary")
async def summary(desk: Desk, _: Reader) -> Response:
    """How many models can be had, altogether and by gateway."""
    board = await desk.board()
    gateways: dict[str, dict[str, int]] = {name: {} for name in board.providers}
    for each in board.models:
        counts = gateways.setdefault(each.provider, {})
        counts[each.availability] = counts.get(each.availability, 0) + 1
    return json_reply(
        {
            **availability_counts(board),
            "gateways": gateways,
            "monitoring_active": board.facts.monitor.running,
            "last_updated": instant(board.facts.at),
        }
    )


@router.get("/availability/status")
async def status_(desk: Desk, _: Reader) -> Response:
    """The monitor, and every maintenance window that lasts."""
    board = await desk.board()
    windows = [*board.facts.windows.values()][:WINDOWS_SHOWN]
    return json_reply(
        {
            "status": board.overall,
            "monitoring_active": board.facts.monitor.running,
            "check_interval_seconds": int(desk.interval_s),
            "last_check": instant(board.facts.monitor.ended_at),
            **availability_counts(board),
            "maintenance": [window_line(each) for each in windows],
            "timestamp": timestamp(),
        }
    )


def _found(model_id: str, states: Sequence[ModelState]) -> dict[str, Any]:
    """The best of a model's offers, under the id that was asked for."""
    status = best([each.availability for each in states])
    of = next(each for each in states if each.availability is status)
    line = available_line(of)
    names = (
        *("available", "status", "circuit_breaker_state", "success_rate"),
        *("response_time_ms", "last_checked"),
    )
    return {
        "model_id": model_id,
        "gateway": of.provider,
        **{name: line[name] for name in names},
        "fallback_models": _fallbacks(states, of),
        "maintenance_until": line["maintenance_until"],
    }


def _fallbacks(states: Sequence[ModelState], of: ModelState) -> list[str]:
    """The other offers that can be had, by the ids that pin a call to them."""
    return [_pinned(each) for each in states if each != of and each.availability.admits][
        :FALLBACKS_MAX
    ]


def _best(states: Sequence[ModelState]) -> str | None:
    status = best([each.availability for each in states])
    if not status.admits:
        return None
    return _pinned(next(each for each in states if each.availability is status))


def _pinned(state: ModelState) -> str:
    return f"{state.provider}/{state.model}"
