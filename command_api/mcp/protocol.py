"""The protocol itself, which is the official library's: loaded by the first message alone.

It takes a second to load, which a process that serves no agent need not spend (ADR 0050).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from command_api.mcp.messages import BODY_BYTES_MAX
from command_api.mcp.tools import TOOLS

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.types import CallToolRequestParams, PaginatedRequestParams
    from starlette.requests import Request

    from command_api.mcp.calling import Told, ToolCall
    from edge.asgi import Receive, Scope, Send

CALL = "gatewayz.mcp_call"
"""Where a scope has who calls the tools for it."""
LIST_FRESH_MS = 300_000
"""So long a client may keep the list of tools; it changes with a release."""
NAME_SHOWN_MAX = 100
INSTRUCTIONS = (
    "Reads a Gatewayz account: the catalog of models with prices, the balance, and the story of "
    "each call. Nothing here changes anything or costs credits. Amounts in `_nano_usd` are exact."
)
LISTED = [
    Tool(
        name=name,
        title=each.title,
        description=each.about,
        input_schema=each.arguments.schema_(),
        output_schema=each.output,
        annotations=ToolAnnotations(
            title=each.title,
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )
    for name, each in TOOLS.items()
]

# What it refuses, it says to the client; what it does, our own metrics say.
logging.getLogger("mcp").setLevel(logging.ERROR)


class Protocol:
    """The library's server, which keeps nothing between messages."""

    def __init__(self, version: str) -> None:
        """Nothing runs yet."""
        server: Server[dict[str, Any]] = Server(
            "gatewayz",
            version=version,
            title="Gatewayz",
            instructions=INSTRUCTIONS,
            cache_hints={
                method: CacheHint(ttl_ms=LIST_FRESH_MS, scope="public")
                for method in ("tools/list", "server/discover")
            },
            on_list_tools=_list_tools,
            on_call_tool=_call_tool,
        )
        server.middleware.clear()  # Spans of a tracer that nobody set up.
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=BODY_BYTES_MAX
        )
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The library's tasks belong to one that begins and ends here, whoever asked first."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._host(ready))
        await ready.wait()

    async def _host(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await self._ended.wait()

    async def stop(self) -> None:
        """End what is under way."""
        self._ended.set()
        if self._task is not None:
            await self._task

    async def serve(self, scope: Scope, receive: Receive, send: Send, call: ToolCall) -> None:
        """Answer one message; its tools are called by `call`."""
        await self._manager.handle_request({**scope, CALL: call}, receive, send)


async def _list_tools(_: object, params: PaginatedRequestParams | None) -> ListToolsResult:
    """All on one page."""
    if params is not None and params.cursor:
        message = "cursor: the list of tools has one page, so there is none."
        raise MCPError(INVALID_PARAMS, message)
    return ListToolsResult(tools=LISTED)


async def _call_tool(
    context: ServerRequestContext[dict[str, Any], Request], params: CallToolRequestParams
) -> CallToolResult:
    """What the tool's route says, or why not: agents mend what is said in a result."""
    if params.name not in TOOLS:
        message = f"Unknown tool: {params.name[:NAME_SHOWN_MAX]!r}. There are {', '.join(TOOLS)}."
        raise MCPError(INVALID_PARAMS, message)
    assert context.request is not None
    call: ToolCall = context.request.scope[CALL]
    told: Told = await call(params.name, params.arguments or {})
    return CallToolResult(
        content=[TextContent(text=told.text)],
        structured_content=told.structured,
        is_error=told.structured is None,
    )
