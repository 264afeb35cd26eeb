"""What callers of the framework's routes are told when something goes wrong, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from command_api.operations.table import ROUTES
from edge.asgi import REQUEST_ID
from edge.envelopes import envelope_of
from edge.errors import SERVER, ApiError, bad_request, ledger_unavailable, unavailable
from edge.replies import json_bytes
from projections.engine.freshness import ProjectionLaggingError
from projections.engine.sinks.port import SinkUnavailableError
from projections.money.credit_statement import PeriodTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI, Request, Response

CODES = {404: "not_found", 405: "method_not_allowed"}
PATH_CHARACTERS_MAX = 100
SERVED = f"POST {', '.join(route.path for route in ROUTES)}, and GET /v1/models"


def _is_openai(request: Request) -> bool:
    """Whether a path is OpenAI's, and so are its errors."""
    return request.url.path.startswith("/v1/")


def _http_error(request: Request, error: Exception) -> ApiError:
    assert isinstance(error, HTTPException)
    status = error.status_code
    asked = f"{request.method} {request.url.path[:PATH_CHARACTERS_MAX]}"
    message = f"{error.detail}: {asked}"
    if status in CODES and _is_openai(request):
        message = (
            f"{asked} is not served here. Of the models' APIs there are {SERVED}; /docs has all."
        )
    headers = dict(error.headers or {})
    return ApiError(status, CODES.get(status, "http_error"), message, headers=headers)


def _invalid(_: Request, error: Exception) -> ApiError:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return ApiError(422, "invalid_request", f"{where}: {first['msg']}")


def _lagging(_: Request, error: Exception) -> ApiError:
    assert isinstance(error, ProjectionLaggingError)
    message = f"The read model is {error.lag} events behind: try again."
    return unavailable("projection_lagging", message)


def _itself(_: Request, error: Exception) -> ApiError:
    assert isinstance(error, ApiError)
    return error


def _unexpected(_: Request, __: Exception) -> ApiError:
    message = "Something went wrong here. Nothing of your request was kept: try again."
    return ApiError(500, "internal_error", message, kind=SERVER)


TOLD: dict[type[Exception], Callable[[Request, Exception], ApiError]] = {
    ApiError: _itself,
    HTTPException: _http_error,
    RequestValidationError: _invalid,
    ProjectionLaggingError: _lagging,
    PeriodTooLongError: lambda _, error: bad_request("period_too_long", f"{error}: ask for less."),
    SinkUnavailableError: lambda _, error: unavailable(
        "read_model_unavailable", f"{error}: try again."
    ),
    psycopg.errors.QueryCanceled: lambda *_: unavailable(
        "read_timeout", "The read took longer than is allowed here: try again, or ask for less."
    ),
    psycopg.OperationalError: lambda *_: ledger_unavailable(),
    PoolTimeout: lambda *_: ledger_unavailable(),
    Exception: _unexpected,
}
"""What each kind of exception becomes; the framework picks the nearest."""


def add_error_handlers(app: FastAPI) -> None:
    """Answer in the envelope of the path."""
    for kind, told_as in TOLD.items():

        async def handle(
            request: Request,
            error: Exception,
            told_as: Callable[[Request, Exception], ApiError] = told_as,
        ) -> Response:
            told = told_as(request, error)
            envelope = envelope_of(request.url.path)
            body = envelope.body(told, request.scope.get(REQUEST_ID, ""))
            return json_bytes(envelope.status(told), body, told.headers)

        app.add_exception_handler(kind, handle)
