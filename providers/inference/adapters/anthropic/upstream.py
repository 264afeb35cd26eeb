"""Anthropic's Messages API behind the port: Messages as they are, OpenAI's form translated."""

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
from providers.inference.port import FORWARDED, Forwarded, Operation, UnsupportedError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.adapters.http1.reply import HttpReply

PATHS = {
    Operation.CHAT: "/messages",
    Operation.MESSAGES: "/messages",
    Operation.COUNT_TOKENS: "/messages/count_tokens",
}
HEADS_MAX = 256
"""Most heads that are kept: callers' versions and betas are few, and theirs to write."""


class AnthropicUpstream:
    """The Messages API over HTTP."""

    def __init__(self, client: HttpClient) -> None:
        """The client's base URL ends before `/messages`."""
        self._client = client
        self._heads: dict[tuple[str, Forwarded], bytes] = {}

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> TranslatedReply | HttpReply:
        """Send a Messages body as it is; translate another, and what comes back."""
        if operation not in PATHS:
            message = f"Anthropic has no {operation}"
            raise UnsupportedError(message)
        if operation is not Operation.CHAT:
            head = self._head(PATHS[operation], FORWARDED.get())
            return await self._client.request(head, body, stream=stream)
        made = translated(to_anthropic, decode_object(body))
        head = self._head(PATHS[operation], Forwarded())
        reply = await self._client.request(head, encode(made), stream=stream)
        translator = AnthropicTranslator(
            made["model"], int(time.time()), json_tool=wants_json_tool(made)
        )
        return TranslatedReply(reply, translator)

    def _head(self, path: str, forwarded: Forwarded) -> bytes:
        found = self._heads.get((path, forwarded))
        if found is None:
            named = {"anthropic-version": forwarded.version, "anthropic-beta": forwarded.betas}
            told = {name: value for name, value in named.items() if value}
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            found = self._heads[path, forwarded] = self._client.head("POST", path, told)
        return found

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()
