"""Reads an Anthropic Messages body: what we must know of it, and nothing changed in it.

To a provider that speaks the API the body goes byte for byte, but for the model's id and what is
meant for the routing; for any other it is translated to OpenAI's form (`as_chat`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from command_api.operations.extras import cache_extras, no_text, unpriced_extra, unpriced_operation
from command_api.operations.messages.as_chat import MessagesAsChat
from command_api.operations.messages.blocks import Measure
from command_api.operations.prompts import unknown_bytes
from command_api.operations.request import Answer, CommonBody
from command_api.operations.tokens import TokenRequest
from command_api.replies.messages.native import MessagesScanner, read_message
from command_api.routing.wishes import Routing, dropped_members, read_routing
from domain.pricing.extras import LONG_CONTEXT, LONG_CONTEXT_BETA
from edge.asgi import header_of
from edge.body import (
    RAW_NULL,
    check_model,
    decode_body,
    decode_members,
    replaced_member,
)
from edge.errors import bad_request
from providers.inference.adapters.anthropic.foreign import has_foreign, without_foreign
from providers.inference.port import FORWARDED, Forwarded, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.operations.measured import Prompt
    from command_api.settings.calls import RequestSettings
    from domain.pricing.usage import Usage
    from edge.asgi import Headers, Scope
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

TOKENS_MAX = 10_000_000
STOP_SEQUENCES_MAX = 8_192
VERSION = re.compile(rb"\d{4}-\d{2}-\d{2}")
BETAS = re.compile(rb"[\w.-]+(?:\s*,\s*[\w.-]+)*")
BETAS_BYTES_MAX = 2_048


class InMessage(msgspec.Struct):
    """One message; its blocks are looked at one by one."""

    role: Literal["user", "assistant", "system"]
    content: str | list[msgspec.Raw]


class MessagesBody(CommonBody, kw_only=True):
    """The members that matter here, and those that are sent often and are no prompt."""

    model: str
    messages: list[InMessage]
    max_tokens: int
    stream: bool | None = None
    system: str | list[msgspec.Raw] | None = None
    tools: msgspec.Raw = RAW_NULL
    stop_sequences: list[str] | None = None
    output_config: msgspec.Raw = RAW_NULL
    output_format: msgspec.Raw = RAW_NULL


class CountBody(MessagesBody, kw_only=True):
    """The same for a count of its tokens, which has no output."""

    max_tokens: int = 1


KNOWN = frozenset(
    {
        *MessagesBody.__struct_fields__,
        *("cache_control", "context_management", "metadata", "temperature", "thinking"),
        *("tool_choice", "top_k", "top_p"),
    }
) - {"mcp_servers"}
"""Members of a body that are counted as prompt elsewhere, or are none whatever they hold."""
_decode = msgspec.json.Decoder(MessagesBody).decode
_decode_count = msgspec.json.Decoder(CountBody).decode
_encode = msgspec.json.encode


def forward(scope: Scope, asked: Headers) -> None:
    """Take what a request's headers say of Anthropic's API; raises ApiError 400.

    The version and betas go to Anthropic; its clients send their key as `x-api-key`.
    """
    asked.take_api_key(header_of(scope, b"x-api-key"))
    version = header_of(scope, b"anthropic-version")
    # Of a header that is sent twice the values are one list (RFC 9110, 5.3).
    betas = b",".join(value for name, value in scope["headers"] if name == b"anthropic-beta")
    if version and not VERSION.fullmatch(version):
        message = "anthropic-version must be a date, as 2023-06-01."
        raise bad_request("invalid_header", message, "anthropic-version")
    if len(betas) > BETAS_BYTES_MAX or (betas and not BETAS.fullmatch(betas)):
        message = f"anthropic-beta must be a list of names, of at most {BETAS_BYTES_MAX} bytes."
        raise bad_request("invalid_header", message, "anthropic-beta")
    FORWARDED.set(Forwarded(version.decode(), betas.decode()))


class MessagesRequest(TokenRequest):
    """A checked request."""

    operation = Operation.MESSAGES

    __slots__ = ("_as_chat", "_long_context")

    def __init__(self, raw: bytes, body: MessagesBody, limits: RequestSettings) -> None:
        """Take over what was checked; raises ApiError 400 for too many blocks."""
        self.raw, self.model = raw, body.model
        self._usage_tokens_max, self._uses_max = limits.usage_tokens_max, limits.uses_max
        self.stream, self.max_tokens = bool(body.stream), body.max_tokens
        self.choices, self.include_usage = 1, True
        self.routing: Routing | None = read_routing(body) if body.routes else None
        self._extras = body.extras(body.tools) + cache_extras(raw)
        self._asked = body.asked(self._extras, raw)
        self._predicted = 0
        betas = FORWARDED.get().betas
        self._long_context = LONG_CONTEXT_BETA in betas
        self._size, self._input_tokens = _measured(raw, body)
        self._as_chat: MessagesAsChat | None = None

    def at(self, provider: Provider, offer: Model) -> MessagesRequest | MessagesAsChat:
        """As it is where it is understood, else in OpenAI's form."""
        del offer
        if provider.takes_messages:
            return self
        if self._as_chat is None:
            self._as_chat = MessagesAsChat(self)
        return self._as_chat

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Messages are priced by tokens of text; the price of an embedding is not one for output.

        A long context is priced where the price has a tier for it.
        """
        if not model.price.counts_tokens or no_text(model):
            return unpriced_operation("messages", model)
        extras = self._extras
        if self._long_context and provider.takes_messages and not model.price.terms.tiers:
            extras = (*extras, LONG_CONTEXT)
        return unpriced_extra(extras, model, provider) if extras else None

    def counted_input_tokens(self) -> int:
        """It was counted when the body was measured."""
        assert self._input_tokens is not None, "a body is measured when it is read"
        return self._input_tokens

    def let_go(self) -> None:
        """Keep nothing of the body's bytes."""
        self.raw = b""

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The caller's own bytes, with the provider's id of the model; no other's thoughts."""
        del max_tokens  # The caller must give one.
        members = decode_members(self.raw)
        dropped = {name for name in dropped_members(self, provider) if name in members}
        own = without_foreign(members["messages"]) if has_foreign(self.raw) else None
        if dropped or own is not None:
            kept: dict[str, Any] = {n: value for n, value in members.items() if n not in dropped}
            changed = {} if own is None else {"messages": own}
            return _encode({**kept, **changed, "model": model.id})
        return replaced_member(self.raw, members, "model", model.id)

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        del call_id, charged
        found = read_message(offer.provider, raw)
        return Answer(raw, found.request_id, self.used(found.usage, offer, found.made))

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> MessagesScanner:
        """What reads an offer's stream."""
        del offer, call_id, charge
        return MessagesScanner()


def _measured(raw: bytes, body: MessagesBody) -> Prompt:
    measure = Measure()
    if body.system:
        measure.message(body.system)
    for message in body.messages:
        measure.message(message.content)
    measure.raw(body.tools, body.output_config, body.output_format)
    measure.others(unknown_bytes(raw, KNOWN))
    return measure.prompt()


def parse_messages(raw: bytes, limits: RequestSettings) -> MessagesRequest:
    """Check a body; raises ApiError 400 that names what is wrong and where."""
    return _checked(raw, decode_body(_decode, raw), limits)


def parse_count(raw: bytes, limits: RequestSettings) -> MessagesRequest:
    """The same of a body whose tokens are to be counted."""
    return _checked(raw, decode_body(_decode_count, raw), limits)


def _checked(raw: bytes, body: MessagesBody, limits: RequestSettings) -> MessagesRequest:
    check_model(body.model)
    if not body.messages:
        message = "messages is empty: send at least one message."
        raise bad_request("empty_messages", message, "messages")
    if len(body.messages) > limits.messages_max:
        message = f"messages holds more than {limits.messages_max} messages."
        raise bad_request("too_many_messages", message, "messages")
    if not 1 <= body.max_tokens <= TOKENS_MAX:
        message = f"max_tokens must be between 1 and {TOKENS_MAX}."
        raise bad_request("invalid_value", message, "max_tokens")
    if len(body.stop_sequences or ()) > STOP_SEQUENCES_MAX:
        message = f"stop_sequences holds more than {STOP_SEQUENCES_MAX} texts."
        raise bad_request("invalid_value", message, "stop_sequences")
    return MessagesRequest(raw, body, limits)
