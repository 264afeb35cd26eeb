"""A Messages call at a provider that speaks OpenAI's API: asked and answered in chat's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from command_api.operations.as_chat import AsChat, SentAsChat, chat_scanner
from command_api.operations.as_chat import Asking as AnyAsking
from command_api.operations.chat import chat_body, maximum_name
from command_api.replies.messages.translated import TranslatedScanner
from command_api.replies.messages.usage import told
from providers.inference.adapters.anthropic.as_message import MessageEvents, message_of
from providers.inference.adapters.anthropic.to_chat import Taker, to_chat
from providers.inference.adapters.translation import decode_object, encode, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider

MAXIMUM = "max_tokens"
EFFORT = "reasoning_effort"


class Asking(AnyAsking, Protocol):
    """The Messages call, as far as its translation goes."""

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        ...


class MessagesAsChat(AsChat[Asking]):
    """A Messages call in the form of Chat Completions."""

    called = "message"

    __slots__ = ()

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
        return chat_body(SentAsChat(self._asking, encode(body)), model, provider)

    def made(
        self, whole: dict[str, Any], offer: Model, call_id: str, paid: tuple[Usage, int]
    ) -> bytes:
        """The completion as a message."""
        del call_id
        return encode(message_of(whole, offer.public_id, told(*paid)))

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranslatedScanner:
        """What reads an offer's stream."""
        del charge  # It is told at the end, of the provider's report and of our count alike.
        estimated = self._asking.estimated_input_tokens()
        return TranslatedScanner(
            chat_scanner(offer, call_id), MessageEvents(offer.public_id, estimated)
        )
