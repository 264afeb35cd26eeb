"""Drives /mcp with the official client, in either era; prints what came back."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

url, key = sys.argv[1:]


async def driven(mode: str) -> dict[str, Any]:
    """What one way to connect finds."""
    found: dict[str, Any] = {}
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        found["revision"] = client.protocol_version
        found["tools"] = [each.name for each in (await client.list_tools()).tools]
        balance = await client.call_tool("get_balance", {})
        found["available"] = balance.structured_content["available_nano_usd"]
        models = await client.call_tool("list_models", {"q": "echo", "limit": 5})
        found["model"] = models.structured_content["data"][0]["id"]
        model = await client.call_tool("get_model", {"id": "simulator/echo"})
        found["offers"] = len(model.structured_content["offers"])
        calls = await client.call_tool("list_calls", {})
        found["calls"] = len(calls.structured_content["data"])
        wrong = await client.call_tool("get_call", {"id": "none"})
        found["wrong"] = [wrong.is_error, "call_not_found" in wrong.content[0].text]
        try:
            await client.call_tool("rm_rf", {})
        except MCPError as error:
            found["unknown"] = error.code
    return found


async def refused() -> bool:
    """Whether a key that is none ends the connection."""
    try:
        async with (
            httpx2.AsyncClient(headers={"authorization": "Bearer gw_live_none"}) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            await client.list_tools()
    except BaseException:  # noqa: BLE001 - A group of them, of several kinds.
        return True
    return False


told: dict[str, Any] = {mode: asyncio.run(driven(mode)) for mode in ("auto", "legacy")}
told["refused"] = asyncio.run(refused())
sys.stdout.write(json.dumps(told))
