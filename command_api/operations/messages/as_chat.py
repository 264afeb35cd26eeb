"""A Messages call at a provider that speaks OpenAI's API: asked and answered in chat's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from command_api.operations.chat import chat_body, maximum_name
from command_api.operations.request import Answer
from command_api.replies.completions import read_completion
from command_api.replies.failures import failure_of_nothing
from command_api.replies.messages.translated import TranslatedScanner
from command_api.replies.messages.usage import told
from command_api.replies.own_count import count_reply
from command_api.replies.sse import StreamScanner
from providers.inference.adapters.anthropic.as_message import MessageEvents, message_of
from providers.inference.adapters.anthropic.to_chat import Taker, to_chat
from providers.inference.adapters.translation import ODD, decode_object, encode, translated
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.routing.wishes import Routing
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider

MAXIMUM = "max_tokens"
EFFORT = "reasoning_effort"


class Asking(Protocol):
    """The Messages call, as far as its translation goes."""

    raw: bytes
    model: str
    routing: Routing | None
    stream: bool

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int], /) -> Usage:
        """The provider's report where it can be, else our own count."""
        ...

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        ...


class _Chat:
    """The body in OpenAI's form, for what makes it one of a provider's."""

    include_usage = False

    def __init__(self, asking: Asking, raw: bytes) -> None:
        """The same call, with another body."""
        self.raw, self.model, self.routing = raw, asking.model, asking.routing
        self.stream = asking.stream


class MessagesAsChat:
    """A Messages call in the form of Chat Completions."""

    operation = Operation.CHAT

    __slots__ = ("_asking",)

    def __init__(self, asking: Asking) -> None:
        """Nothing is translated before it is sent."""
        self._asking = asking

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body translated; raises UnsupportedError for what has no counterpart."""
        del max_tokens  # The caller must give one.
        name = maximum_name(model)
        # `own_routing` marks those who pass a body on to others, and know what those understand.
        taker = Taker(
            aggregates=provider.own_routing,
            details=provider.takes_details,
            reasons=name != MAXIMUM or EFFORT in model.facts.supported_parameters,
        )
        body = translated(lambda given: to_chat(given, taker), decode_object(self._asking.raw))
        if name != MAXIMUM:
            body[name] = body.pop(MAXIMUM)
        return chat_body(_Chat(self._asking, encode(body)), model, provider)

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_completion(offer.provider, raw, call_id=call_id, model=offer.id)
        usage = self._asking.used(found.usage, offer, lambda: count_reply(found.raw))
        paid = charged(usage)
        words: dict[str, Any] = told(paid, offer.price.cost(paid).nano_usd)
        try:
            message = message_of(decode_object(found.raw.strip()), offer.public_id, words)
            return Answer(encode(message), found.request_id, usage)
        except (*ODD, msgspec.DecodeError):
            raise failure_of_nothing(offer.provider, "a reply that is no message") from None

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        del charge  # It is told at the end, of the provider's report and of our count alike.
        scanner = StreamScanner(
            keep_usage=False, call_id=call_id, model=offer.id, full_name=offer.public_id
        )
        estimated = self._asking.estimated_input_tokens()
        return TranslatedScanner(scanner, MessageEvents(offer.public_id, estimated))
