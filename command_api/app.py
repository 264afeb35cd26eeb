"""The FastAPI application, with the hot path in front of its router (ADR 0007)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Route

from command_api.catalog_routes import Catalog, add_catalog_routes
from command_api.errors import RETRY_AFTER_S, SERVER, ApiError, ledger_unavailable
from command_api.gateway import Gateway
from command_api.http import header_of, request_id_of
from command_api.inference import InferenceRoute
from command_api.modelz_routes import add_modelz_routes
from command_api.ranking_routes import add_ranking_routes
from command_api.requests import ROUTES
from command_api.traffic_routes import add_traffic_routes
from event_store.database import ReadPool
from event_store.ids import new_uuid7
from projections.sinks import SinkUnavailableError
from query_api.balances import (
    ProjectionLaggingError,
    read_balance,
    read_transactions,
    usd_number,
)
from query_api.calls import call_story

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from command_api.auth import Caller
    from command_api.http import Message, Receive, Scope, Send
    from command_api.settings import Settings
    from event_store.database import Database

DEFAULT_PAGE = 50
CODES = {404: "not_found", 405: "method_not_allowed"}


class GatewayApp(FastAPI):
    """FastAPI, but for the inference paths, which are too hot for it."""

    inference: dict[str, InferenceRoute]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the hot path directly; give everything else a request id."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] == "POST" and scope["path"] in self.inference:
            await self.inference[scope["path"]](scope, receive, send)
            return
        request_id = request_id_of(header_of(scope, b"x-request-id"), str(new_uuid7())).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        await super().__call__(scope, receive, send_with_id)


def make_app(settings: Settings, database: Database) -> GatewayApp:
    """Compose a serving process. Raises ProvidersFileError for a bad providers file."""
    gateway = Gateway(settings, database)
    reads = ReadPool(database)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.start()
        reads.open()
        try:
            yield
        finally:
            await asyncio.to_thread(reads.close)
            await gateway.stop()

    app = GatewayApp(title="Gatewayz", lifespan=lifespan)
    app.inference = {route.path: InferenceRoute(gateway, route) for route in ROUTES}
    for path, endpoint in app.inference.items():
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))
    _add_error_handlers(app)
    _add_status_routes(app, gateway)
    catalog = Catalog(gateway, reads)
    add_traffic_routes(app, catalog)
    add_catalog_routes(app, catalog)
    add_modelz_routes(app, settings)
    _add_account_routes(app, gateway, reads)
    add_ranking_routes(app, gateway, reads)
    return app


def _answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


def _json(value: Any) -> Response:
    return _answer(200, msgspec.json.encode(value))


def _error(request: Request, error: ApiError) -> Response:
    body = error.openai() if request.url.path.startswith("/v1/") else error.plain()
    return _answer(error.status, body, error.headers)


def _add_error_handlers(app: FastAPI) -> None:
    async def api_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return _error(request, error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        message = f"{error.detail}: {request.method} {request.url.path}"
        return _error(request, ApiError(status, CODES.get(status, "http_error"), message))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(request, ApiError(422, "invalid_request", f"{where}: {first['msg']}"))

    async def lagging(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProjectionLaggingError)
        message = f"The read model is {error.lag} events behind: try again."
        after = {"retry-after": str(RETRY_AFTER_S)}
        return _error(request, ApiError(503, "projection_lagging", message, headers=after))

    async def database_away(request: Request, _: Exception) -> Response:
        return _error(request, ledger_unavailable())

    async def unexpected(request: Request, _: Exception) -> Response:
        message = "Something went wrong here. Nothing of your request was kept: try again."
        return _error(request, ApiError(500, "internal_error", message, kind=SERVER))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)

    async def counters_away(request: Request, error: Exception) -> Response:
        after = {"retry-after": str(RETRY_AFTER_S)}
        text = f"{error}: try again."
        return _error(request, ApiError(503, "read_model_unavailable", text, headers=after))

    app.add_exception_handler(ProjectionLaggingError, lagging)
    app.add_exception_handler(SinkUnavailableError, counters_away)
    app.add_exception_handler(psycopg.OperationalError, database_away)
    app.add_exception_handler(PoolTimeout, database_away)
    app.add_exception_handler(Exception, unexpected)


def _add_status_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/health")
    async def health() -> Response:
        """200 once calls can be served."""
        if gateway.healthy:
            return _json({"status": "healthy"})
        body = msgspec.json.encode({"status": "unhealthy", "detail": "the ledger is unreachable"})
        return _answer(503, body, {"retry-after": str(RETRY_AFTER_S)})

    @app.get("/")
    async def root() -> Response:
        """Say what this is."""
        return _json({"message": "Gatewayz: an OpenAI-compatible gateway", "status": "operational"})


def _parse_call_id(text: str) -> UUID | None:
    """A call id from a path; None when it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def _caller(gateway: Gateway, request: Request) -> Caller:
    return await gateway.keys.authenticate(header_of(request.scope, b"authorization"))


def _add_account_routes(app: FastAPI, gateway: Gateway, reads: ReadPool) -> None:
    settings = gateway.settings

    @app.get("/v1/calls/{call_id}")
    async def get_call(call_id: str, request: Request) -> Response:
        """The whole story of the caller's own call, read from the log."""
        caller = await _caller(gateway, request)
        known = _parse_call_id(call_id)
        story = None
        if known is not None:
            story = await asyncio.to_thread(call_story, reads, known, caller.account_id)
        if story is None:
            message = f"There is no call {call_id} of yours. Replies carry x-gatewayz-call-id."
            raise ApiError(404, "call_not_found", message)
        return _json(story)

    @app.get("/user/balance")
    async def balance(request: Request) -> Response:
        """What the caller can spend."""
        caller = await _caller(gateway, request)
        found = await asyncio.to_thread(
            read_balance, reads, caller.account_id, wait_s=settings.read_wait_s
        )
        credits_left = msgspec.Raw(usd_number(found["available_nano_usd"]).encode())
        return _json(
            {
                "api_key": caller.masked,
                "user_id": caller.user_id,
                "credits": credits_left,
                **found,
            }
        )

    @app.get("/user/credit-transactions")
    async def transactions(
        request: Request,
        limit: int = DEFAULT_PAGE,
        offset: int = 0,
        transaction_type: str | None = None,
    ) -> Response:
        """The statement, newest first; charges are negative."""
        caller = await _caller(gateway, request)
        if not 1 <= limit <= settings.page_max or offset < 0:
            message = f"limit must be between 1 and {settings.page_max}, offset at least 0"
            raise ApiError(422, "invalid_page", message)
        lines, total, sums = await asyncio.to_thread(
            read_transactions,
            reads,
            caller.account_id,
            limit=limit,
            offset=offset,
            transaction_type=transaction_type,
            wait_s=settings.read_wait_s,
        )
        for line in lines:
            for name in ("amount", "balance_before", "balance_after"):
                line[name] = msgspec.Raw(usd_number(line[f"{name}_nano_usd"]).encode())
        return _json(
            {
                "transactions": lines,
                "summary": {
                    "by_type": {k: msgspec.Raw(usd_number(v).encode()) for k, v in sums.items()},
                    "net_change": msgspec.Raw(usd_number(sum(sums.values())).encode()),
                },
                "total": total,
                "limit": limit,
                "offset": offset,
            }
        )
