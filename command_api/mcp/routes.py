"""POST /mcp: the protocol's one endpoint. There is no stream to GET and no session to DELETE."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from command_api.mcp.messages import BODY_BYTES_MAX, METHOD_CHARACTERS_MAX, read_message
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.asgi import JSON, NO_STORE, header_of
from edge.body import read_raw
from edge.caller import Caller
from edge.envelopes import MCP_PATH
from edge.errors import ApiError

if TYPE_CHECKING:
    from command_api.mcp.service import McpService

UNAUTHORIZED = 401
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["jsonrpc", "method"],
                "properties": {
                    "jsonrpc": {"type": "string", "enum": ["2.0"]},
                    "id": {"type": ["string", "integer"]},
                    "method": {"type": "string", "maxLength": METHOD_CHARACTERS_MAX},
                    "params": {"type": "object"},
                },
            }
        }
    },
}
"""One JSON-RPC message, as the API's document has it."""


class AgentNeeds(Needs):
    """As every route's, but that a client of the protocol is told how to show a key."""

    async def caller(self, request: Request) -> Caller:
        """A dependency: the caller. Raises ApiError 401, 403, 429 or 503."""
        try:
            return await super().caller(request)
        except ApiError as error:
            if error.status == UNAUTHORIZED:
                error.headers["www-authenticate"] = 'Bearer realm="gatewayz"'
            raise


Agent = Annotated[Caller, Depends(AgentNeeds(Permission.READ_USAGE).caller)]


async def _check_origin(request: Request) -> None:
    """Before anything else is looked at; raises ApiError 403."""
    service: McpService = request.app.state.mcp
    service.check_origin(request.scope)


router = APIRouter(dependencies=[Depends(_check_origin)])


@router.post(MCP_PATH, openapi_extra={"requestBody": BODY})
async def serve(request: Request, _: Agent) -> Response:
    """One message of the Model Context Protocol: tools that read catalog, balance and calls."""
    scope = request.scope
    kind = header_of(scope, b"content-type").partition(b";")[0].strip().lower()
    if kind != JSON:
        text = "Content-Type must be application/json."
        raise ApiError(415, "unsupported_media_type", text)
    message = read_message(await read_raw(request, bytes_max=BODY_BYTES_MAX))
    service: McpService = request.app.state.mcp
    # The routes themselves, without what packs and logs replies: this one is packed and logged.
    endpoint = partial(FastAPI.__call__, request.app)
    reply = await service.answer(endpoint, scope, message)
    made = Response(reply.body, reply.status)
    name, value = NO_STORE
    made.headers[name.decode()] = value.decode()
    if reply.content_type is not None:
        made.headers["content-type"] = reply.content_type.decode()
    return made
