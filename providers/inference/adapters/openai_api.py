"""Upstreams that speak OpenAI's API: bytes in, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.inference.adapters.form_data import WrittenForm
from providers.inference.port import Operation, UnsupportedError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.adapters.http1.reply import HttpReply
    from providers.inference.adapters.realtime.sockets import Socket, Sockets
    from providers.inference.port import Form, RealtimeLimits, RealtimeRefusal

PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.EMBEDDINGS: "/embeddings",
    Operation.IMAGES: "/images/generations",
    Operation.RESPONSES: "/responses",
    Operation.COMPLETIONS: "/completions",
    Operation.TRANSCRIPTIONS: "/audio/transcriptions",
    Operation.TRANSLATIONS: "/audio/translations",
    Operation.MODERATIONS: "/moderations",
    Operation.RERANK: "/rerank",
    Operation.SPEECH: "/audio/speech",
}


class OpenAiUpstream:
    """An OpenAI-compatible upstream over HTTP."""

    def __init__(self, client: HttpClient, sockets: Sockets | None = None) -> None:
        """The client's base URL ends before `/chat/completions`; `sockets` open its sessions."""
        self._client, self._sockets = client, sockets
        self._heads = {operation: client.head("POST", path) for operation, path in PATHS.items()}

    async def send(self, operation: Operation, body: bytes, *, stream: bool = False) -> HttpReply:
        """Send a body as it is."""
        return await self._client.request(self._heads[operation], body, stream=stream)

    async def send_form(self, operation: Operation, form: Form) -> HttpReply:
        """Send a form, whose file is never whole in memory."""
        written = WrittenForm(form)
        head = self._client.head("POST", PATHS[operation], {"content-type": written.content_type})
        return await self._client.upload(head, written.size, written.pieces())

    async def open_session(self, model: str, limits: RealtimeLimits) -> Socket | RealtimeRefusal:
        """Open a realtime session."""
        if self._sockets is None:
            message = "it has no realtime sessions"
            raise UnsupportedError(message)
        return await self._sockets.open(model, limits)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()
