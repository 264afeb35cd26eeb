"""Whether this process serves, and what it is: the paths that load balancers ask."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, Request, Response

from edge.access import OPEN
from edge.errors import RETRY_AFTER_S
from edge.replies import json_reply

router = APIRouter(dependencies=[OPEN])


class Serving(Protocol):
    """What a serving process knows of itself."""

    @property
    def healthy(self) -> bool:
        """Whether a call could be held now."""
        ...

    @property
    def orphaned(self) -> bool:
        """Whether it is about to end."""
        ...


@router.get("/health")
async def health(request: Request) -> Response:
    """200 once calls can be served."""
    gateway: Serving = request.app.state.gateway
    if gateway.healthy:
        return json_reply({"status": "healthy"})
    detail = "this process is about to end" if gateway.orphaned else "the ledger is unreachable"
    body = {"status": "unhealthy", "detail": detail}
    return json_reply(body, status=503, headers={"retry-after": str(RETRY_AFTER_S)})


@router.get("/")
async def root() -> Response:
    """Say what this is."""
    message = "Gatewayz: an OpenAI-compatible gateway"
    return json_reply({"message": message, "status": "operational"})
