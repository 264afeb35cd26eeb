"""Anthropic's Messages API behind the port: OpenAI's form in, OpenAI's form out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from providers.inference.adapters.anthropic.reply import AnthropicTranslator
from providers.inference.adapters.anthropic.request import to_anthropic, wants_json_tool
from providers.inference.adapters.translation import (
    TranslatedReply,
    decode_object,
    encode,
    translated,
)
from providers.inference.port import Operation, UnsupportedError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient


class AnthropicUpstream:
    """The Messages API over HTTP."""

    def __init__(self, client: HttpClient) -> None:
        """The client's base URL ends before `/messages`."""
        self._client = client
        self._head = client.head("POST", "/messages")

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> TranslatedReply:
        """Translate, send, and translate what comes back."""
        if operation is not Operation.CHAT:
            message = f"Anthropic has no {operation}"
            raise UnsupportedError(message)
        made = translated(to_anthropic, decode_object(body))
        reply = await self._client.request(self._head, encode(made), stream=stream)
        translator = AnthropicTranslator(
            made["model"], int(time.time()), json_tool=wants_json_tool(made)
        )
        return TranslatedReply(reply, translator)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()
