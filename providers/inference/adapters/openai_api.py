"""Upstreams that speak OpenAI's API: bytes in, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.inference.adapters.form_data import WrittenForm
from providers.inference.adapters.whole_images import NAMES as OF_IMAGES
from providers.inference.adapters.whole_images import WholeImages
from providers.inference.adapters.whole_reply import JSON, kind_of
from providers.inference.adapters.whole_transcript import WholeTranscript
from providers.inference.port import Operation, UnsupportedError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.adapters.http1.reply import HttpReply
    from providers.inference.adapters.realtime.sockets import Socket, Sockets
    from providers.inference.port import Form, RealtimeLimits, RealtimeRefusal, UpstreamReply

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
    Operation.IMAGE_EDITS: "/images/edits",
    Operation.IMAGE_VARIATIONS: "/images/variations",
}


OK = 200
WHOLE = (JSON, b"text/plain")
"""What a form that asks for events is answered with where there are none."""


def in_events(operation: Operation, reply: HttpReply) -> UpstreamReply:
    """The reply to who asked for a stream: of an image in events, also where it came whole."""
    if operation in OF_IMAGES and reply.status == OK and kind_of(reply) == JSON:
        return WholeImages(reply, operation)
    return reply


class OpenAiUpstream:
    """An OpenAI-compatible upstream over HTTP."""

    def __init__(self, client: HttpClient, sockets: Sockets | None = None) -> None:
        """The client's base URL ends before `/chat/completions`; `sockets` open its sessions."""
        self._client, self._sockets = client, sockets
        self._heads = {operation: client.head("POST", path) for operation, path in PATHS.items()}

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> UpstreamReply:
        """Send a body as it is."""
        reply = await self._client.request(self._heads[operation], body, stream=stream)
        return in_events(operation, reply) if stream else reply

    async def send_form(
        self, operation: Operation, form: Form, *, stream: bool = False
    ) -> UpstreamReply:
        """Send a form, whose files are never whole in memory."""
        written = WrittenForm(form)
        head = self._client.head("POST", PATHS[operation], {"content-type": written.content_type})
        reply = await self._client.upload(head, written.size, written.pieces(), stream=stream)
        if stream and operation not in OF_IMAGES and reply.status == OK and kind_of(reply) in WHOLE:
            return WholeTranscript(reply)
        return in_events(operation, reply) if stream else reply

    async def open_session(self, model: str, limits: RealtimeLimits) -> Socket | RealtimeRefusal:
        """Open a realtime session."""
        if self._sockets is None:
            message = "it has no realtime sessions"
            raise UnsupportedError(message)
        return await self._sockets.open(model, limits)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()
