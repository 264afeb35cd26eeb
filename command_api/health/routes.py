"""How models, providers and all of it are doing: the reads below /health.

They stand before /health/{gateway}, which would take their paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Response

from command_api.health.desk import LINES_MAX, Desk, Reader
from command_api.health.shapes import (
    instant,
    model_line,
    monitor_line,
    provider_line,
    system_line,
    uptime_line,
)
from edge.errors import ApiError
from edge.replies import check_page, json_reply, timestamp
from providers.inference.registry.built_in import OTHER_NAMES

if TYPE_CHECKING:
    from command_api.health.desk import HealthDesk
    from command_api.health.queries import Board, ModelState

LEADING = 100
"""So many models are shown beside something else, those asked most."""
Status = Literal["healthy", "degraded", "unhealthy", "maintenance", "unknown"]

router = APIRouter()


def chosen(
    desk: HealthDesk, board: Board, gateway: str | None, provider: str | None
) -> list[ModelState]:
    """The models of a gateway, which may be named by either parameter; raises ApiError 400."""
    named = {desk.gateway(gateway), desk.gateway(provider)} - {None}
    if not named:
        return board.models
    return [each for each in board.models if named == {each.provider}]


@router.get("/health/system")
async def system(desk: Desk, _: Reader) -> Response:
    """Everything together."""
    return json_reply(system_line(await desk.board()))


@router.get("/health/providers")
async def providers(desk: Desk, _: Reader, gateway: str | None = None) -> Response:
    """Each provider, by what was tried and checked."""
    named, board = desk.gateway(gateway), await desk.board()
    found = [each for name, each in board.providers.items() if named in {None, name}]
    return json_reply([provider_line(each) for each in found])


@router.get("/health/models")
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
    shown = [each for each in found if status in {None, str(each.health)}]
    return json_reply([model_line(each) for each in shown[offset : offset + limit]])


@router.get("/health/model/{model_id:path}")
async def model(desk: Desk, _: Reader, model_id: str, gateway: str | None = None) -> Response:
    """A model where it is tried first, and everywhere else beside it."""
    states = await desk.states(model_id, gateway)
    lines = [model_line(each) for each in states]
    return json_reply({**lines[0], "gateways": lines})


@router.get("/health/provider/{provider}")
async def provider_health(desk: Desk, _: Reader, provider: str) -> Response:
    """One provider."""
    named = _provider_named(desk, provider)
    return json_reply(provider_line((await desk.board()).providers[named]))


@router.get("/health/summary")
async def summary(desk: Desk, _: Reader) -> Response:
    """Everything together, each provider, and the models asked most."""
    board = await desk.board()
    monitor = board.facts.monitor
    return json_reply(
        {
            "system": system_line(board),
            **_leading(board),
            "monitoring_active": monitor.running,
            "last_check": instant(monitor.ended_at),
        }
    )


@router.get("/health/uptime")
async def uptime(desk: Desk, _: Reader) -> Response:
    """The figures of the last day."""
    return json_reply(uptime_line(await desk.board()))


@router.get("/health/dashboard")
async def dashboard(desk: Desk, _: Reader) -> Response:
    """What a page of health shows."""
    board = await desk.board()
    return json_reply(
        {
            "system_status": system_line(board),
            **_leading(board),
            "uptime_metrics": uptime_line(board),
            "last_updated": instant(board.facts.at),
            "monitoring_active": board.facts.monitor.running,
        }
    )


@router.get("/health/status")
async def status_(desk: Desk, _: Reader) -> Response:
    """One word for everything."""
    board = await desk.board()
    body = {"status": board.overall, "monitoring_active": board.facts.monitor.running}
    return json_reply({**body, "timestamp": timestamp()})


@router.get("/health/monitoring/status")
async def monitoring_status(desk: Desk, _: Reader) -> Response:
    """Whether the monitor checks, when it did, and what it found."""
    return json_reply(monitor_line(await desk.board(), desk.interval_s))


def _leading(board: Board) -> dict[str, Any]:
    return {
        "providers": [provider_line(each) for each in board.providers.values()],
        "models": [model_line(each) for each in board.models[:LEADING]],
    }


def _provider_named(desk: HealthDesk, name: str) -> str:
    """Raises ApiError 404, for what stands in the path."""
    found = OTHER_NAMES.get(name, name)
    if found not in desk.registry.providers:
        message = f"There is no gateway {name[:64]!r} here: GET /v1/provider lists them."
        raise ApiError(404, "unknown_gateway", message)
    return found
