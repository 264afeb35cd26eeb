"""Portkey behind the port: OpenAI's API with headers that say which provider serves a call.

Source: Portkey's documentation of its headers. A model may be written `@slug/model`, which routes
by itself; otherwise the provider is the one that the body's `portkey_provider` names, with the
virtual key that the body or the environment has for it, else the one that the operator set for all
calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.openai_api import PATHS, OpenAiUpstream, in_events
from providers.inference.adapters.translation import decode_object, encode
from providers.inference.port import Operation, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.port import UpstreamReply

PROVIDER, VIRTUAL_KEY = "portkey_provider", "portkey_virtual_key"
MARK = b'"portkey_'


class PortkeyUpstream(OpenAiUpstream):
    """Portkey's gateway over HTTP."""

    def __init__(self, client: HttpClient, virtual_keys: Mapping[str, str]) -> None:
        """`virtual_keys` are those of the environment, by provider."""
        super().__init__(client)
        self._virtual_keys = virtual_keys

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> UpstreamReply:
        """Send a body, with the headers that its own members ask for."""
        if MARK not in body:
            return await super().send(operation, body, stream=stream)
        asked = decode_object(body)
        headers = self._headers(asked.pop(PROVIDER, None), asked.pop(VIRTUAL_KEY, None))
        try:
            head = self._client.head("POST", PATHS[operation], headers)
        except ValueError as error:
            message = f"{PROVIDER} or {VIRTUAL_KEY} cannot be a header: {error}"
            raise UnsupportedError(message) from None
        reply = await self._client.request(head, encode(asked), stream=stream)
        return in_events(operation, reply) if stream else reply

    def _headers(self, provider: Any, virtual_key: Any) -> dict[str, str]:
        headers: dict[str, str] = {}
        if isinstance(provider, str):
            headers["x-portkey-provider"] = provider
            virtual_key = virtual_key or self._virtual_keys.get(provider)
        if isinstance(virtual_key, str):
            headers["x-portkey-virtual-key"] = virtual_key
        return headers
