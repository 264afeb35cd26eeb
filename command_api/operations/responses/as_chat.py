"""A Responses call at a provider that speaks chat: asked and answered in chat's form."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from command_api.operations.as_chat import AsChat, SentAsChat, chat_scanner
from command_api.operations.as_chat import Asking as AnyAsking
from command_api.operations.chat import MAXIMUM_PLAIN, chat_body, maximum_name
from command_api.replies.responses.translated import TranslatedScanner
from command_api.replies.responses.usage import told
from edge.body import decode_any, decode_members
from providers.inference.adapters.responses.as_response import ECHOED, Frame, response_of
from providers.inference.adapters.responses.events import ResponseEvents
from providers.inference.adapters.responses.to_chat import Taker, to_chat
from providers.inference.adapters.translation import decode_object, encode, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider

EFFORT = "reasoning_effort"


class Asking(AnyAsking, Protocol):
    """The Responses call, as far as its translation goes."""

    previous_id: str | None


class ResponsesAsChat(AsChat[Asking]):
    """A Responses call in the form of Chat Completions."""

    called = "response"

    __slots__ = ()

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
        return chat_body(
            SentAsChat(self._asking, encode(body)), model, provider, max_tokens=max_tokens
        )

    def made(
        self, whole: dict[str, Any], offer: Model, call_id: str, paid: tuple[Usage, int]
    ) -> bytes:
        """The completion as a response."""
        return encode(response_of(whole, self._framed(offer, call_id), told(*paid)))

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        del charge  # It is told at the end, of the provider's report and of our count alike.
        events = ResponseEvents(self._framed(offer, call_id))
        return TranslatedScanner(chat_scanner(offer, call_id), events)

    def _framed(self, offer: Model, call_id: str) -> Frame:
        """What is known of the response before it is made; of the body, which is let go."""
        members = decode_members(self._asking.raw)
        body = {name: decode_any(members[name]) for name in ECHOED if name in members}
        body["previous_response_id"] = self._asking.previous_id
        hex_id = call_id.replace("-", "")
        return Frame.of(body, hex_id, offer.public_id, int(time.time()))
