"""Drives /mcp with the official client of the last release before 2; prints what came back."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

url, key = sys.argv[1:]


async def driven() -> dict[str, Any]:
    """Handshake, tools, one call of a tool."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        streamablehttp_client(f"{url}/mcp", headers=headers) as (reads, writes, session_id),
        ClientSession(reads, writes) as session,
    ):
        begun = await session.initialize()
        await session.send_ping()
        tools = await session.list_tools()
        balance = await session.call_tool("get_balance", {})
        unknown = await session.call_tool("get_call", {"id": "none"})
        return {
            "revision": begun.protocolVersion,
            "session": session_id(),
            "tools": len(tools.tools),
            "read_only": all(each.annotations.readOnlyHint for each in tools.tools),
            "available": balance.structuredContent["available_nano_usd"],
            "wrong": unknown.isError,
        }


sys.stdout.write(json.dumps(asyncio.run(driven())))
