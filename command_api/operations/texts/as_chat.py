"""Completions at a model that chats: asked and answered in chat's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from command_api.operations.chat import MAXIMUM_PLAIN, chat_body, maximum_name
from command_api.operations.request import Answer
from command_api.replies.completions import read_completion
from command_api.replies.failures import failure_of_nothing
from command_api.replies.own_count import count_reply
from command_api.replies.texts.scanner import TranslatedScanner
from command_api.replies.told import tell
from providers.inference.adapters.texts.of_chat import text_completion
from providers.inference.adapters.texts.to_chat import to_chat
from providers.inference.adapters.translation import ODD, decode_object, encode, translated
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.routing.wishes import Routing
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider


class Asking(Protocol):
    """The call, as far as its translation goes."""

    raw: bytes
    model: str
    routing: Routing | None
    stream: bool
    include_usage: bool

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """The provider's report where it can be, else our own count."""
        ...


class _Chat:
    """The body in chat's form, for what makes it one of a provider's."""

    def __init__(self, asking: Asking, raw: bytes) -> None:
        """The same call, with another body."""
        self.raw, self.model, self.routing = raw, asking.model, asking.routing
        self.stream, self.include_usage = asking.stream, asking.include_usage


class CompletionsAsChat:
    """A call of completions in the form of Chat Completions."""

    operation = Operation.CHAT

    __slots__ = ("_asking", "_begin")

    def __init__(self, asking: Asking, begin: int) -> None:
        """Nothing is translated before it is sent; `begin` is the prompt's length, characters."""
        self._asking, self._begin = asking, begin

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body translated; raises UnsupportedError for what has no counterpart."""
        body = translated(to_chat, decode_object(self._asking.raw))
        if MAXIMUM_PLAIN in body:
            body[maximum_name(model)] = body.pop(MAXIMUM_PLAIN)
        return chat_body(_Chat(self._asking, encode(body)), model, provider, max_tokens=max_tokens)

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_completion(offer.provider, raw, call_id=call_id, model=offer.id)
        usage = self._asking.used(found.usage, offer, lambda: count_reply(found.raw))
        paid = charged(usage)
        try:
            made = encode(text_completion(decode_object(found.raw.strip()), self._begin))
        except (*ODD, msgspec.DecodeError):
            raise failure_of_nothing(offer.provider, "a reply that is no completion") from None
        told = tell(made, offer.public_id, paid, offer.price.cost(paid).nano_usd)
        return Answer(told, found.request_id, usage)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        return TranslatedScanner(
            offer, call_id, charge, keep_usage=self._asking.include_usage, begin=self._begin
        )
