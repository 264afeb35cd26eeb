"""Google Vertex AI's Gemini behind the port: OpenAI's form in, OpenAI's form out."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.inference.adapters.gemini.media import (
    Translation,
    embeddings_request,
    images_request,
)
from providers.inference.adapters.gemini.reply import GeminiTranslator
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.translation import (
    TranslatedReply,
    decode_object,
    encode,
    translated,
)
from providers.inference.port import Operation, UnsupportedError

if TYPE_CHECKING:
    from providers.inference.adapters.gemini.credentials import Credentials
    from providers.inference.adapters.http1.client import HttpClient


class GeminiUpstream:
    """Gemini, Imagen and the embedding models of Vertex AI over HTTP."""

    def __init__(
        self, client: HttpClient, credentials: Credentials, image_endpoint: str = ""
    ) -> None:
        """The client's base URL ends before `/publishers/google/models`.

        `image_endpoint` is an endpoint of the operator's own, which then makes all images.
        """
        self._client, self._credentials = client, credentials
        self._image_endpoint = image_endpoint

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> TranslatedReply:
        """Translate, send, and translate what comes back; raises UnsupportedError."""
        asked = decode_object(body)
        created = int(time.time())
        if operation is Operation.CHAT:
            made = Translation(
                "streamGenerateContent?alt=sse" if stream else "generateContent",
                translated(to_gemini, asked),
                GeminiTranslator(asked["model"], created),
            )
        elif operation is Operation.EMBEDDINGS:
            made = embeddings_request(asked)
        elif operation is Operation.IMAGES and not stream:
            made = images_request(asked, created)
        else:
            message = f"Vertex AI has no {operation} here"
            raise UnsupportedError(message)
        path = f"/publishers/google/models/{quote(asked['model'], safe='@')}:{made.method}"
        if operation is Operation.IMAGES and self._image_endpoint:
            path = f"/endpoints/{quote(self._image_endpoint)}:{made.method}"
        token = await self._credentials.token()
        head = self._client.head("POST", path, {"authorization": f"Bearer {token}"})
        reply = await self._client.request(head, encode(made.body), stream=stream)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            self._credentials.forget()
        return TranslatedReply(reply, made.translator)

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()
        await self._credentials.close()
