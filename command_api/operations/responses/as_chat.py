"""A Responses call at a provider that speaks chat: asked and answered in chat's form."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from command_api.operations.chat import MAXIMUM_PLAIN, chat_body, maximum_name
from command_api.operations.request import Answer
from command_api.replies.completions import read_completion
from command_api.replies.failures import failure_of_nothing
from command_api.replies.own_count import count_reply
from command_api.replies.responses.translated import TranslatedScanner
from command_api.replies.responses.usage import told
from command_api.replies.sse import StreamScanner
from edge.body import decode_any, decode_members
from providers.inference.adapters.responses.as_response import ECHOED, Frame, response_of
from providers.inference.adapters.responses.events import ResponseEvents
from providers.inference.adapters.responses.to_chat import Taker, to_chat
from providers.inference.adapters.translation import ODD, decode_object, encode, translated
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.routing.wishes import Routing
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider

EFFORT = "reasoning_effort"


class Asking(Protocol):
    """The Responses call, as far as its translation goes."""

    raw: bytes
    model: str
    routing: Routing | None
    stream: bool
    previous_id: str | None

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """The provider's report where it can be, else our own count."""
        ...


class _Chat:
    """The body in chat's form, for what makes it one of a provider's."""

    include_usage = False

    def __init__(self, asking: Asking, raw: bytes) -> None:
        """The same call, with another body."""
        self.raw, self.model, self.routing = raw, asking.model, asking.routing
        self.stream = asking.stream


class ResponsesAsChat:
    """A Responses call in the form of Chat Completions."""

    operation = Operation.CHAT

    __slots__ = ("_asking",)

    def __init__(self, asking: Asking) -> None:
        """Nothing is translated before it is sent."""
        self._asking = asking

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body translated; raises UnsupportedError for what has no counterpart."""
        name = maximum_name(model)
        # `own_routing` marks those who pass a body on to others, and know what those understand.
        taker = Taker(
            aggregates=provider.own_routing,
            details=provider.takes_details,
            reasons=name != MAXIMUM_PLAIN or EFFORT in model.facts.supported_parameters,
        )
        body = translated(lambda given: to_chat(given, taker), decode_object(self._asking.raw))
        if MAXIMUM_PLAIN in body:
            body[name] = body.pop(MAXIMUM_PLAIN)
        return chat_body(_Chat(self._asking, encode(body)), model, provider, max_tokens=max_tokens)

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_completion(offer.provider, raw, call_id=call_id, model=offer.id)
        usage = self._asking.used(found.usage, offer, lambda: count_reply(found.raw))
        paid = charged(usage)
        words: dict[str, Any] = told(paid, offer.price.cost(paid).nano_usd)
        try:
            made = response_of(
                decode_object(found.raw.strip()), self._framed(offer, call_id), words
            )
            return Answer(encode(made), found.request_id, usage)
        except (*ODD, msgspec.DecodeError):
            raise failure_of_nothing(offer.provider, "a reply that is no response") from None

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        del charge  # It is told at the end, of the provider's report and of our count alike.
        scanner = StreamScanner(
            keep_usage=False, call_id=call_id, model=offer.id, full_name=offer.public_id
        )
        return TranslatedScanner(scanner, ResponseEvents(self._framed(offer, call_id)))

    def _framed(self, offer: Model, call_id: str) -> Frame:
        """What is known of the response before it is made; of the body, which is let go."""
        members = decode_members(self._asking.raw)
        body = {name: decode_any(members[name]) for name in ECHOED if name in members}
        body["previous_response_id"] = self._asking.previous_id
        hex_id = call_id.replace("-", "")
        return Frame.of(body, hex_id, offer.public_id, int(time.time()))
