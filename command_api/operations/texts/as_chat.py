"""Completions at a model that chats: asked and answered in chat's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from command_api.operations.as_chat import AsChat, SentAsChat
from command_api.operations.as_chat import Asking as AnyAsking
from command_api.operations.chat import MAXIMUM_PLAIN, chat_body, maximum_name
from command_api.replies.texts.scanner import TranslatedScanner
from command_api.replies.told import tell
from providers.inference.adapters.texts.of_chat import text_completion
from providers.inference.adapters.texts.to_chat import to_chat
from providers.inference.adapters.translation import decode_object, encode, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider


class Asking(AnyAsking, Protocol):
    """The call, as far as its translation goes."""

    include_usage: bool


class CompletionsAsChat(AsChat[Asking]):
    """A call of completions in the form of Chat Completions."""

    called = "completion"

    __slots__ = ("_begin",)

    def __init__(self, asking: Asking, begin: int) -> None:
        """Nothing is translated before it is sent; `begin` is the prompt's length, characters."""
        super().__init__(asking)
        self._begin = begin

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body translated; raises UnsupportedError for what has no counterpart."""
        body = translated(to_chat, decode_object(self._asking.raw))
        if MAXIMUM_PLAIN in body:
            body[maximum_name(model)] = body.pop(MAXIMUM_PLAIN)
        asking = self._asking
        sent = SentAsChat(asking, encode(body), include_usage=asking.include_usage)
        return chat_body(sent, model, provider, max_tokens=max_tokens)

    def made(
        self, whole: dict[str, Any], offer: Model, call_id: str, paid: tuple[Usage, int]
    ) -> bytes:
        """The completion as one of texts."""
        del call_id
        return tell(encode(text_completion(whole, self._begin)), offer.public_id, *paid)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        return TranslatedScanner(
            offer, call_id, charge, keep_usage=self._asking.include_usage, begin=self._begin
        )
