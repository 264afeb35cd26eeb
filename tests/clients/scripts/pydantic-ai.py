"""Drives the gateway with Pydantic AI; prints what came back. Usage: URL API_KEY."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

if TYPE_CHECKING:
    from pydantic_ai.models import Model

url, key = sys.argv[1:]
NAME = "simulator/echo"
openai = OpenAIProvider(base_url=f"{url}/v1", api_key=key)
MODELS: dict[str, Model] = {
    "chat": OpenAIChatModel(NAME, provider=openai),
    "responses": OpenAIResponsesModel(NAME, provider=openai),
    "messages": AnthropicModel(NAME, provider=AnthropicProvider(base_url=url, api_key=key)),
}


async def main() -> None:
    """Whole and streamed answers by each protocol, and an error."""
    found: dict[str, Any] = {}
    for protocol, model in MODELS.items():
        agent = Agent(model)
        whole = await agent.run("one two three")
        async with agent.run_stream("one two three") as stream:
            text = await stream.get_output()
        found[protocol] = {
            "whole": whole.output,
            "usage": whole.usage().output_tokens,
            "text": text,
        }
    try:
        await Agent(OpenAIChatModel("no/such", provider=openai)).run("x")
    except ModelHTTPError as error:
        found["unknown"] = error.status_code
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
