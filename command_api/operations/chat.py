"""Reads a Chat Completions body: what we must know of it, and nothing changed in it.

The body is decoded twice, once for the few members that decide about money and routing, once
into raw members so that what the caller sent reaches the provider byte for byte; only `model`
and `stream_options` are ever replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from command_api.operations.extras import (
    cache_extras,
    no_text,
    unpriced_extra,
    unpriced_operation,
)
from command_api.operations.prompts import (
    Message,
    PlainMessage,
    estimated_tokens,
    other_bytes,
    raw_size,
    size_of,
)
from command_api.operations.request import Answer, CommonBody
from command_api.operations.tokens import TokenRequest
from command_api.replies.completions import read_completion
from command_api.replies.own_count import count_reply
from command_api.replies.sse import StreamScanner
from command_api.replies.told import tell
from command_api.routing.wishes import Routing, WithBody, members_for, read_routing
from domain.ledger.holds import BYTES_PER_TOKEN_BOUND, PromptSize
from domain.pricing.extras import HEARD
from edge.body import RAW_NULL, check_model, check_range, decode_any, decode_body
from edge.errors import bad_request
from providers.inference.port import Operation
from providers.inference.registry.thoughts import with_taken_thoughts

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import RequestSettings
    from domain.pricing.usage import Usage
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

TOKENS_MAX = 10_000_000
MAXIMUM_PLAIN = "max_tokens"
"""What a maximum of output is called where no model has another name for it."""


class Asked(WithBody, Protocol):
    """What of a request decides about the body that its provider gets."""

    stream: bool
    include_usage: bool


class StreamOptions(msgspec.Struct):
    """OpenAI's stream options."""

    include_usage: bool | None = None


class ChatBody(CommonBody, kw_only=True):
    """The members that matter here, and those that are sent often and are no prompt."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream_options: StreamOptions | None = None
    tools: msgspec.Raw = RAW_NULL
    functions: msgspec.Raw = RAW_NULL
    response_format: msgspec.Raw = RAW_NULL
    prediction: msgspec.Raw = RAW_NULL
    temperature: msgspec.Raw = RAW_NULL
    top_p: msgspec.Raw = RAW_NULL
    stop: msgspec.Raw = RAW_NULL
    seed: msgspec.Raw = RAW_NULL
    presence_penalty: msgspec.Raw = RAW_NULL
    frequency_penalty: msgspec.Raw = RAW_NULL
    tool_choice: msgspec.Raw = RAW_NULL
    parallel_tool_calls: msgspec.Raw = RAW_NULL
    reasoning_effort: msgspec.Raw = RAW_NULL
    reasoning: msgspec.Raw = RAW_NULL
    user: msgspec.Raw = RAW_NULL
    logit_bias: msgspec.Raw = RAW_NULL


class PlainBody(ChatBody, kw_only=True, forbid_unknown_fields=True):
    """A body in which every member is known."""

    messages: list[PlainMessage]  # type: ignore[assignment]


_REASONING = re.compile(r"o\d|gpt-5")
"""Ids of OpenAI's own reasoning models, which refuse `max_tokens`. At those who resell them the ids
begin otherwise, and `max_tokens` is understood.
"""
_decode_plain = msgspec.json.Decoder(PlainBody).decode
_decode_lenient = msgspec.json.Decoder(ChatBody).decode
_encode = msgspec.json.encode
KNOWN = frozenset(
    {
        *ChatBody.__struct_fields__,
        *("audio", "logprobs", "metadata", "prompt_cache_key", "safety_identifier"),
        *("store", "thinking", "top_logprobs", "verbosity"),
    }
) - {"plugins", "mcp_servers"}
"""Members of a body that are counted as prompt elsewhere, or are none whatever they hold."""


NUMBER = (b"-0123456789", "a number")
SHAPES = (
    ("tools", b"[", "a list"),
    ("functions", b"[", "a list"),
    ("tool_choice", b'"{', "a text or an object"),
    ("response_format", b"{", "an object"),
    ("logit_bias", b"{", "an object"),
    ("stop", b'"[', "a text or a list of texts"),
    ("temperature", *NUMBER),
    ("top_p", *NUMBER),
    ("presence_penalty", *NUMBER),
    ("frequency_penalty", *NUMBER),
    ("seed", *NUMBER),
)
"""How members begin in JSON that pass as they came; what is in them is the provider's to judge."""


def _check_shapes(body: ChatBody) -> None:
    """Raise ApiError 400 for a member that no provider could read: some would pass it over."""
    for name, begins, what in SHAPES:
        raw = getattr(body, name)
        if raw is not RAW_NULL and bytes(raw)[0] not in b"n" + begins:
            message = f"{name} must be {what}, or null."
            raise bad_request("invalid_type", message, name)


def _decode(raw: bytes) -> ChatBody:
    """Nearly every body is plain; only another is decoded twice."""
    try:
        return _decode_plain(raw)
    except msgspec.ValidationError:
        return _decode_lenient(raw)


class ChatRequest(TokenRequest):
    """A checked request."""

    operation = Operation.CHAT

    __slots__ = ("body",)

    def __init__(self, raw: bytes, body: ChatBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        self.raw, self.body = raw, body
        self._usage_tokens_max, self._uses_max = limits.usage_tokens_max, limits.uses_max
        self.model = body.model
        self.stream = bool(body.stream)
        self.choices = 1 if body.n is None else body.n
        asked = (body.max_completion_tokens, body.max_tokens)
        # Both reach the provider, and nobody knows which of them it obeys.
        self.max_tokens = max((each for each in asked if each is not None), default=None)
        options = body.stream_options
        self.include_usage = bool(options and options.include_usage)
        self.routing: Routing | None = read_routing(body) if body.routes else None
        self._extras = body.extras(body.tools) + cache_extras(raw)
        self._asked = body.asked(self._extras, raw, self.choices)
        # What was predicted and not used is output too (OpenAI, "Predicted outputs").
        self._predicted = -(-raw_size(body.prediction) // BYTES_PER_TOKEN_BOUND)
        self._size = self.prompt_size()
        if self._size.audio_minutes:
            self._extras += (HEARD,)
        self._input_tokens: int | None = None

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Chat is priced by tokens of text; the price of an embedding is not one for output."""
        if not model.price.counts_tokens or no_text(model):
            return unpriced_operation("chat", model)
        if not self._extras:
            return None
        extras = self._extras
        if model.price.terms.audio_output_per_million is not None and self._only_audio():
            extras = tuple(each for each in extras if each.member != "modalities")
        return unpriced_extra(extras, model, provider)

    def _only_audio(self) -> bool:
        asked = decode_any(self.body.modalities)
        return isinstance(asked, list) and all(each in ("text", "audio") for each in asked)

    def at(self, provider: Provider, offer: Model) -> ChatRequest:
        """Every provider is asked in OpenAI's form."""
        del provider, offer
        return self

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> StreamScanner:
        """What reads an offer's stream."""
        return StreamScanner(
            keep_usage=self.include_usage,
            call_id=call_id,
            model=offer.id,
            full_name=offer.public_id,
            charge=charge,
        )

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_completion(offer.provider, raw, call_id=call_id, model=offer.id)
        usage = self.used(found.usage, offer, lambda: count_reply(found.raw))
        paid = charged(usage)
        told = tell(found.raw, offer.public_id, paid, offer.price.cost(paid).nano_usd)
        return Answer(told, found.request_id, usage)

    def prompt_size(self) -> PromptSize:
        """What of the prompt costs tokens (money rule 2)."""
        body = self.body
        size = size_of(body.messages)
        schemas = raw_size(body.tools, body.functions, body.response_format)
        told = body.plugins is not RAW_NULL or body.mcp_servers is not RAW_NULL
        plain = type(body) is PlainBody and not told
        others = 0 if plain else other_bytes(self.raw, KNOWN)
        if not (schemas or others):
            return size
        return size._replace(
            text_bytes=size.text_bytes + schemas, other_bytes=size.other_bytes + others
        )

    def counted_input_tokens(self) -> int:
        """The messages, and what tools there are."""
        tokens = -(-raw_size(self.body.tools, self.body.functions) // 4)
        return tokens + estimated_tokens(self.body.messages, self._size)

    def let_go(self) -> None:
        """Keep nothing of the body's bytes; its sizes are known."""
        self.estimated_input_tokens()
        self.raw, self.body = b"", ChatBody(model=self.model, messages=[])

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body for the provider: its own model id, and usage asked for in streams."""
        return chat_body(self, model, provider, max_tokens=max_tokens)


def chat_body(
    request: Asked, model: Model, provider: Provider, *, max_tokens: int | None = None
) -> bytes:
    """A Chat Completions body as a provider gets it, with a maximum where we set one."""
    members = counted_members(request, model, provider)
    if max_tokens is not None:
        members[maximum_name(model)] = msgspec.Raw(b"%d" % max_tokens)
    messages = members["messages"]
    members["messages"] = with_taken_thoughts(messages, provider.taken_thoughts, model.id)
    return _encode(members)


def counted_members(request: Asked, model: Model, provider: Provider) -> dict[str, msgspec.Raw]:
    """A body's members as a provider gets them, with usage asked for in streams."""
    members = members_for(request, model, provider)
    if request.stream and not request.include_usage:
        raw = members.get("stream_options", RAW_NULL)
        options: dict[str, Any] = dict(decode_any(raw) or {})
        options["include_usage"] = True
        members["stream_options"] = msgspec.Raw(_encode(options))
    return members


def maximum_name(model: Model) -> str:
    """What a model's maximum of output is called."""
    return "max_completion_tokens" if _REASONING.match(model.id) else MAXIMUM_PLAIN


def parse_chat(raw: bytes, limits: RequestSettings) -> ChatRequest:
    """Check a body; raises ApiError 400 that names what is wrong and where."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.messages:
        message = "messages is empty: send at least one message."
        raise bad_request("empty_messages", message, "messages")
    if len(body.messages) > limits.messages_max:
        message = f"messages holds more than {limits.messages_max} messages."
        raise bad_request("too_many_messages", message, "messages")
    _check_shapes(body)
    check_range("n", body.n, limits.choices_max)
    check_range("max_tokens", body.max_tokens, TOKENS_MAX)
    check_range("max_completion_tokens", body.max_completion_tokens, TOKENS_MAX)
    return ChatRequest(raw, body, limits)
