"""Reads a Responses body: what we must know of it, and nothing changed in it.

To a provider that speaks the API the body goes as it came, but for the model's id, what is meant
for the routing, and what is kept here in the provider's place: responses are stored in this
gateway, under the owner's data key, so the provider is told to store none, and the chain that a
previous response stands for is sent to it whole. For any other it is translated to chat's form
(`as_chat`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.operations.chat import MAXIMUM_PLAIN, TOKENS_MAX, maximum_name
from command_api.operations.extras import cache_extras, no_text, unpriced_extra, unpriced_operation
from command_api.operations.prompts import unknown_bytes
from command_api.operations.request import Answer, CommonBody
from command_api.operations.responses.as_chat import ResponsesAsChat
from command_api.operations.responses.measure import Measure
from command_api.operations.tokens import TokenRequest
from command_api.replies.responses.native import ResponsesScanner, read_response
from command_api.routing.wishes import Routing, dropped_members, read_routing
from domain.pricing.extras import HEARD
from edge.body import (
    RAW_NULL,
    check_model,
    check_range,
    decode_body,
    decode_members,
    replaced_member,
)
from edge.errors import bad_request
from providers.inference.adapters.details import MARK
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.operations.measured import Prompt
    from command_api.settings.calls import RequestSettings
    from domain.pricing.usage import Usage
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

ENCRYPTED = "reasoning.encrypted_content"
ELSEWHERE = ("conversation", "prompt")
"""Members that stand for what is kept in an account at OpenAI, which callers here have none of."""
_MARK = MARK.encode()
_encode = msgspec.json.encode
_NULL = (RAW_NULL, b"null")


class ResponsesBody(CommonBody, kw_only=True):
    """The members that matter here, and those that are sent often and are no prompt."""

    model: str
    input: str | list[msgspec.Raw]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    include: list[str] | None = None
    tools: msgspec.Raw = RAW_NULL
    text: msgspec.Raw = RAW_NULL
    conversation: msgspec.Raw = RAW_NULL
    prompt: msgspec.Raw = RAW_NULL


KNOWN = frozenset(
    {
        *ResponsesBody.__struct_fields__,
        *("temperature", "top_p", "top_logprobs", "tool_choice", "parallel_tool_calls"),
        *("max_tool_calls", "metadata", "user", "reasoning", "truncation", "stream_options"),
        *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "client_metadata"),
    }
) - {"mcp_servers", "plugins"}
"""Members of a body that are counted as prompt elsewhere, or are none whatever they hold."""
_decode = msgspec.json.Decoder(ResponsesBody).decode
_decode_type = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Chain(NamedTuple):
    """What stands before a body's own input: the response that it names, and all items up to it."""

    previous_id: str
    items: list[msgspec.Raw]


class ResponsesRequest(TokenRequest):
    """A checked request."""

    operation = Operation.RESPONSES
    maximum_named = "max_output_tokens"

    __slots__ = (
        *("_as_chat", "_include", "background", "own_items", "previous_id", "store", "streamed"),
    )

    def __init__(
        self, raw: bytes, body: ResponsesBody, limits: RequestSettings, chain: Chain | None
    ) -> None:
        """Take over what was checked; raises ApiError 400 for too many parts."""
        self.model = body.model
        self.own_items = [] if body.store is False else items_of(body.input)
        """What is kept beside a stored response."""
        self.previous_id = body.previous_response_id or None
        """Of a response that the body goes on from; without a chain it is yet to be looked up."""
        self.raw = _chained(raw, body, chain) if chain else raw
        self._usage_tokens_max, self._uses_max = limits.usage_tokens_max, limits.uses_max
        self.background, self.streamed = bool(body.background), bool(body.stream)
        """Whether it runs without its caller, and whether that one wants its events."""
        # What runs in the background can be ended, and charged for what was made, as a stream can.
        self.stream = self.streamed or self.background
        self.max_tokens = body.max_output_tokens
        self.store = body.store is not False
        self.choices, self.include_usage = 1, True
        self.routing: Routing | None = read_routing(body) if body.routes else None
        self._extras = body.extras(body.tools) + cache_extras(self.raw)
        self._asked = body.asked(self._extras, raw)
        self._predicted = 0
        self._include = tuple(body.include or ())
        before = chain.items if chain else []
        self._size, self._input_tokens = _measured(raw, body, before)
        if self._size.audio_minutes:
            self._extras += (HEARD,)
        self._as_chat: ResponsesAsChat | None = None

    def at(self, provider: Provider, offer: Model) -> ResponsesRequest | ResponsesAsChat:
        """As it is where it is understood, else in chat's form."""
        del offer
        if provider.takes_responses:
            return self
        if self._as_chat is None:
            self._as_chat = ResponsesAsChat(self)
        return self._as_chat

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Priced by tokens of text; the price of an embedding is not one for output."""
        if not model.price.counts_tokens or no_text(model):
            return unpriced_operation("responses", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def counted_input_tokens(self) -> int:
        """It was counted when the body was measured."""
        assert self._input_tokens is not None, "a body is measured when it is read"
        return self._input_tokens

    def run_here(self) -> None:
        """Its background is ours: to its provider it is a call as any other, streamed."""
        members = decode_members(self.raw)
        members.pop("background", None)
        members["stream"] = msgspec.Raw(b"true")
        self.raw = _encode(members)

    def let_go(self) -> None:
        """Keep nothing of the body's bytes, but for the input where the response will be stored."""
        self.raw = b""

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The caller's own bytes, with the provider's id of the model; nothing is stored there."""
        members = decode_members(self.raw)
        changed: dict[str, msgspec.Raw] = {}
        if self.store:
            changed["store"] = msgspec.Raw(b"false")
            # The next response of a chain wants its thoughts, which only OpenAI's own models seal.
            if maximum_name(model) != MAXIMUM_PLAIN and ENCRYPTED not in self._include:
                changed["include"] = msgspec.Raw(_encode([*self._include, ENCRYPTED]))
        if max_tokens is not None:
            changed["max_output_tokens"] = msgspec.Raw(b"%d" % max_tokens)
        if _MARK in self.raw:
            changed["input"] = msgspec.Raw(_encode(_foreign(members["input"])))
        dropped = {each for each in dropped_members(self, provider) if each in members}
        if not (changed or dropped):
            return replaced_member(self.raw, members, "model", model.id)
        kept = {name: value for name, value in members.items() if name not in dropped}
        return _encode({**kept, **changed, "model": model.id})

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        del call_id, charged
        found = read_response(offer.provider, raw)
        return Answer(raw, found.request_id, self.used(found.usage, offer, found.made))

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> ResponsesScanner:
        """What reads an offer's stream."""
        del offer, call_id, charge
        return ResponsesScanner()


def _foreign(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Items without the thoughts that another provider sealed: this one cannot read them."""
    if not bytes(raw).startswith(b"["):
        return [raw]
    items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    return [each for each in items if not (_MARK in bytes(each) and _is(each, "reasoning"))]


def _is(raw: msgspec.Raw, kind: str) -> bool:
    try:
        return bytes(_decode_type(raw).get("type", b"")) == f'"{kind}"'.encode()
    except msgspec.DecodeError:
        return False


def _chained(raw: bytes, body: ResponsesBody, chain: Chain) -> bytes:
    """The body with all that stands before its own input."""
    members = decode_members(raw)
    members.pop("previous_response_id", None)
    members["input"] = msgspec.Raw(_encode([*chain.items, *items_of(body.input)]))
    return _encode(members)


def items_of(given: str | list[msgspec.Raw]) -> list[msgspec.Raw]:
    """An input as items."""
    if isinstance(given, str):
        part = {"type": "input_text", "text": given}
        message: dict[str, Any] = {"type": "message", "role": "user", "content": [part]}
        return [msgspec.Raw(_encode(message))]
    return given


def _measured(raw: bytes, body: ResponsesBody, before: list[msgspec.Raw]) -> Prompt:
    measure = Measure()
    if body.instructions:
        measure.message(body.instructions)
    for item in before:
        measure.item(item)
    if isinstance(body.input, str):
        measure.message(body.input)
    else:
        for item in body.input:
            measure.item(item)
    measure.raw(body.tools, body.text)
    measure.others(unknown_bytes(raw, KNOWN))
    return measure.prompt()


def parse_responses(
    raw: bytes, limits: RequestSettings, chain: Chain | None = None
) -> ResponsesRequest:
    """Check a body; raises ApiError 400 that names what is wrong and where."""
    body = _checked(decode_body(_decode, raw), limits)
    before = len(chain.items) if chain else 0
    if not isinstance(body.input, str) and before + len(body.input) > limits.messages_max:
        message = f"input holds more than {limits.messages_max} items, earlier ones with them."
        raise bad_request("too_many_items", message, "input")
    return ResponsesRequest(raw, body, limits, chain)


def _checked(body: ResponsesBody, limits: RequestSettings) -> ResponsesBody:
    check_model(body.model)
    check_range("max_output_tokens", body.max_output_tokens, TOKENS_MAX)
    if not body.input and not body.previous_response_id:
        message = "input is empty: send a text, or at least one item."
        raise bad_request("empty_input", message, "input")
    if not isinstance(body.input, str) and len(body.input) > limits.messages_max:
        message = f"input holds more than {limits.messages_max} items."
        raise bad_request("too_many_items", message, "input")
    for name in ELSEWHERE:
        if getattr(body, name) not in _NULL:
            message = (
                f"{name} is kept in an account at OpenAI, and this gateway has none for you: send "
                "the items themselves, or previous_response_id."
            )
            raise bad_request("unsupported_member", message, name)
    if body.background and body.store is False:
        message = "A background response is stored, so that it can be got: leave store out."
        raise bad_request("background_not_stored", message, "background")
    if not isinstance(body.input, str):
        for place, item in enumerate(body.input):
            if b"item_reference" in bytes(item) and _is(item, "item_reference"):
                message = "an item_reference stands for an item at OpenAI: send the item itself."
                raise bad_request("unsupported_member", message, f"input[{place}]")
    return body
