"""The FastAPI application, with the hot path in front of its router (ADR 0007)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from command_api.api_keys import routes as key_routes
from command_api.background.route import BackgroundRoute
from command_api.batches import routes as batch_routes
from command_api.books import routes as books_routes
from command_api.calls.route import InferenceRoute
from command_api.catalog import modelz_routes, traffic_routes
from command_api.catalog import routes as catalog_routes
from command_api.catalog.catalog import Catalog
from command_api.catalog.modelz_routes import modelz_of
from command_api.coupons import routes as coupon_routes
from command_api.credits import approval_routes
from command_api.credits import routes as credit_routes
from command_api.gifts import routes as gift_routes
from command_api.health import all_routes as health_of_all
from command_api.identities import routes as identity_routes
from command_api.limits import routes as limit_routes
from command_api.mcp import routes as mcp_routes
from command_api.operations.table import ROUTES
from command_api.operations.table import Route as OperationRoute
from command_api.organisations import project_routes, quota_routes
from command_api.organisations import routes as organisation_routes
from command_api.passkeys import routes as passkey_routes
from command_api.payments import routes as payment_routes
from command_api.payments import webhook as webhook_routes
from command_api.plans import routes as plan_routes
from command_api.profile import routes as profile_routes
from command_api.provider_keys import routes as provider_key_routes
from command_api.realtime import routes as realtime_routes
from command_api.referrals import routes as referral_routes
from command_api.refunds import routes as refund_routes
from command_api.roles import routes as role_update_routes
from command_api.second_factor import routes as second_factor_routes
from command_api.serving.docs_page import add_docs_page
from command_api.serving.error_handlers import add_error_handlers
from command_api.serving.gateway import Gateway
from command_api.serving.gzipped import Gzipped
from command_api.serving.metrics import SCRAPE_KEPT_S, metrics, metrics_of
from command_api.serving.openapi import completed
from command_api.serving.parameters import check_parameters
from command_api.serving.reading import ReadSide
from command_api.serving.request_log import Logged, RequestLog
from command_api.serving.slices import Slices
from command_api.shedding.early import early_refusals
from command_api.sign_in import routes as sign_in_routes
from command_api.stored_responses import routes as stored_response_routes
from command_api.subscriptions import routes as subscription_routes
from command_api.system import cache_routes, health_routes, pings, status_routes
from command_api.token_counts.route import PATH as COUNT_TOKENS
from command_api.token_counts.route import CountTokensRoute
from command_api.topups import routes as top_up_routes
from edge.asgi import REQUEST_ID, header_of, request_id_of, send_error
from edge.clients import key_in_url
from edge.envelopes import envelope_of
from edge.lanes import Flights
from edge.security import EXPOSED, more_headers
from event_store.ids import new_uuid7
from providers.inference.port import Operation
from query_api.account import routes as account_routes
from query_api.admin import routes as admin_routes
from query_api.api_keys import routes as key_read_routes
from query_api.audit import routes as audit_routes
from query_api.calls import routes as call_routes
from query_api.coupons import routes as coupon_read_routes
from query_api.finance import routes as finance_routes
from query_api.plans import routes as plan_read_routes
from query_api.rankings import routes as ranking_routes
from query_api.referrals import routes as referral_read_routes
from query_api.roles import routes as role_routes
from query_api.statements import routes as statement_routes
from query_api.trials import routes as trial_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.routing import BaseRoute

    from command_api.front.connection import Early
    from command_api.front.protocol import Endpoint
    from command_api.identity.vault import Vault
    from command_api.settings import Settings
    from edge.asgi import Message, Receive, Scope, Send
    from edge.errors import ApiError
    from event_store.postgres.database import Database

ROUTERS = (
    status_routes.router,
    pings.router,
    metrics,
    traffic_routes.router,  # Fixed paths below /v1/models stand before those with ids.
    catalog_routes.router,
    modelz_routes.router,
    account_routes.router,
    *(key_read_routes.router, key_routes.router, provider_key_routes.router),
    call_routes.router,
    ranking_routes.router,
    sign_in_routes.router,
    second_factor_routes.router,
    passkey_routes.router,
    identity_routes.router,
    profile_routes.router,
    organisation_routes.router,
    project_routes.router,
    gift_routes.router,
    quota_routes.router,
    role_update_routes.router,
    audit_routes.router,  # /admin/roles/audit/log stands before /admin/roles with ids.
    role_routes.router,
    limit_routes.router,
    credit_routes.router,
    approval_routes.router,
    stored_response_routes.router,
    realtime_routes.router,
    *batch_routes.ROUTERS,
    coupon_read_routes.router,
    coupon_routes.router,
    plan_read_routes.router,
    plan_routes.router,
    trial_routes.router,
    referral_read_routes.router,
    referral_routes.router,
    payment_routes.router,
    refund_routes.router,
    webhook_routes.router,
    subscription_routes.router,
    top_up_routes.router,
    admin_routes.router,
    finance_routes.router,
    statement_routes.router,
    books_routes.router,
    mcp_routes.router,
    cache_routes.router,
    health_routes.router,
    *health_of_all.ROUTERS,
    health_routes.one_gateway,  # /health/{gateway} stands behind all that is below /health.
)


class GatewayApp(FastAPI):
    """FastAPI, but for the inference paths, which are too hot for it."""

    inference: dict[str, Endpoint]
    early: Mapping[str, Early] = {}
    sockets: Endpoint
    """All WebSockets."""
    framework: Endpoint
    """All the rest, from its outermost handler of errors inwards."""
    request_log: RequestLog | None = None

    def wait_for(self, tasks: set[asyncio.Task[None]]) -> None:
        """What runs in the background ends with the requests."""
        self.state.gateway.runs.tasks = tasks

    def openapi(self) -> dict[str, Any]:
        """The framework's document, completed; made once."""
        return self.openapi_schema or completed(super().openapi(), ROUTERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the hot path directly; give everything else a request id."""
        if scope["type"] == "websocket":
            await self.sockets(scope, receive, send)
            return
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        refusal = key_in_url(scope) if scope["query_string"] else None
        if scope["method"] == "POST" and scope["path"] in self.inference and refusal is None:
            await self.inference[scope["path"]](scope, receive, send)
            return
        scope[REQUEST_ID] = request_id_of(header_of(scope, b"x-request-id"), str(new_uuid7()))
        request_id = scope[REQUEST_ID].encode()
        named = [(name, request_id) for name in envelope_of(scope["path"]).id_headers]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                more = more_headers(scope, headers)
                message["headers"] = [*headers, *more, *named]
            await send(message)

        serve = self.framework if refusal is None else _refusing(refusal)
        if self.request_log is not None:
            serve = Logged(serve, self.request_log)
        await serve(scope, receive, send_with_id)


def _refusing(error: ApiError) -> Endpoint:
    """What answers with an error, in the envelope of the path."""

    async def refuse(scope: Scope, _: Receive, send: Send) -> None:
        await send_error(send, error, [], envelope_of(scope["path"]), scope[REQUEST_ID])

    return refuse


def make_app(settings: Settings, database: Database, vault: Vault) -> GatewayApp:
    """Compose a serving process. Raises ProvidersFileError for a bad providers file."""
    gateway = Gateway(settings, database, vault)
    reads = ReadSide(settings, database)
    slices = Slices(settings, database, vault, gateway, reads.account)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.start()
        reads.open()
        await slices.start()
        try:
            yield
        finally:
            await reads.close()
            await slices.stop()
            packer.close()
            await gateway.stop()
            if app.request_log is not None:
                await asyncio.to_thread(app.request_log.stop)

    app = GatewayApp(
        title="Gatewayz",
        version=version("gatewayz"),
        lifespan=lifespan,
        docs_url=None,  # Ours needs no network.
        redoc_url=None,
    )
    app.inference = {route.path: _serving(gateway, route) for route in ROUTES}
    app.inference[COUNT_TOKENS] = CountTokensRoute(gateway.calls)
    app.sockets = gateway.realtime
    app.framework = packer = Gzipped(partial(FastAPI.__call__, app))
    allow_origins(app, settings.server.origins)
    if settings.installation.request_log:
        log = app.request_log = RequestLog()
        app.inference = {path: Logged(each, log, path) for path, each in app.inference.items()}
    elif not settings.server.origins:  # What sees every reply sees a refusal, too.
        app.early = early_refusals(gateway.keys.cached, gateway.calls.queue, ROUTES)
    for path, endpoint in app.inference.items():
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))
    app.state.gateway = gateway
    app.state.scrapes = Flights(keep_s=SCRAPE_KEPT_S)
    app.state.metrics = metrics_of(gateway, slices)
    slices.hand_to(app.state)
    app.state.read_parts = reads.parts(gateway, slices.note_read)
    lists, keep_s = gateway.model_lists, settings.reads.ranking_cache_s
    app.state.catalog = Catalog(
        gateway.registry, gateway.router, lists, reads.public, keep_s=keep_s
    )
    app.state.modelz = modelz_of(settings)
    app.state.machinery = gateway.machinery(app.state.modelz)
    add_error_handlers(app)
    app.router.routes.extend(_routes())
    add_docs_page(app)
    return app


def _serving(gateway: Gateway, route: OperationRoute) -> InferenceRoute:
    if route.operation is Operation.RESPONSES:
        return BackgroundRoute(gateway.calls, route, gateway.runs, gateway.background)
    return InferenceRoute(gateway.calls, route)


@cache
def _routes() -> list[BaseRoute]:
    """All routers, composed once in a process.

    What the framework reads from each function's signature it would read while it answers the
    first request, and the calls beside that would wait a quarter of a second for it.
    """
    whole = APIRouter()
    for router in ROUTERS:
        checks = [] if router is status_routes.router else [Depends(check_parameters)]
        whole.include_router(router, dependencies=checks)
    deque(iter_route_contexts(whole.routes), maxlen=0)
    return whole.routes


def allow_origins(app: GatewayApp, origins: list[str]) -> None:
    """Let pages of these origins call from a browser (WHATWG Fetch, CORS protocol).

    Keys travel in a header of the page's own, so no cookies are allowed with it.
    """
    if not origins:
        return
    options: dict[str, Any] = {
        "allow_origins": origins,
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "expose_headers": EXPOSED,
    }
    app.framework = CORSMiddleware(app.framework, **options)
    app.inference = {
        path: CORSMiddleware(endpoint, **options) for path, endpoint in app.inference.items()
    }
