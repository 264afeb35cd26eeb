"""Reads a body of completions: what we must know of it, and nothing changed in it.

To a model that completes a bare prompt it goes as it came, but for the model's id, what is meant
for the routing, and the request for usage in streams; for any other it is translated to chat's form
(`as_chat`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.chat import (
    MAXIMUM_PLAIN,
    TOKENS_MAX,
    StreamOptions,
    counted_members,
)
from command_api.operations.extras import cache_extras, no_text, unpriced_extra, unpriced_operation
from command_api.operations.prompts import unknown_bytes
from command_api.operations.request import Answer, CommonBody
from command_api.operations.texts.as_chat import CompletionsAsChat
from command_api.operations.tokens import TokenRequest
from command_api.replies.texts.scanner import TextScanner
from command_api.replies.texts.whole import count_texts, read_text
from command_api.replies.told import tell
from command_api.routing.wishes import Routing, read_routing
from domain.ledger.holds import BYTES_PER_TOKEN_BOUND, MESSAGE_OVERHEAD_TOKENS, PromptSize
from domain.pricing.usage import estimate_tokens
from edge.body import RAW_NULL, check_model, check_range, decode_body, utf8_size
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import RequestSettings
    from domain.pricing.usage import Usage
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

TOKEN_ID_MAX = 2**31 - 1
LOGPROBS_MAX = 128
"""OpenAI's is 5; others give more."""
ECHOED_TOKEN_SHARE = 4
"""A prompt of tokens that is echoed is text of unknown length: so many of our own count a token."""
Prompt = str | list[int]


class CompletionsBody(CommonBody, kw_only=True):
    """The members that matter here, and those that are sent often and are no prompt."""

    model: str
    prompt: str | list[Any]
    suffix: str | None = None
    max_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: msgspec.Raw = RAW_NULL


KNOWN = frozenset(
    {
        *CompletionsBody.__struct_fields__,
        *("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty"),
        *("logit_bias", "user", "metadata", "prompt_cache_key"),
    }
) - {"mcp_servers", "plugins", "tools"}
"""Members of a body that are counted as prompt elsewhere, or are none whatever they hold."""
_decode = msgspec.json.Decoder(CompletionsBody).decode
_encode = msgspec.json.encode


class CompletionsRequest(TokenRequest):
    """A checked request. Its choices are candidates: what `best_of` drops is paid for, too."""

    operation = Operation.COMPLETIONS

    __slots__ = ("_as_chat", "_begin", "_bounds", "_echoed", "prompts")

    def __init__(
        self, raw: bytes, body: CompletionsBody, prompts: list[Prompt], limits: RequestSettings
    ) -> None:
        """Take over what was checked."""
        self.raw, self.model = raw, body.model
        self._usage_tokens_max, self._uses_max = limits.usage_tokens_max, limits.uses_max
        self.stream = bool(body.stream)
        self.include_usage = bool(body.stream_options and body.stream_options.include_usage)
        self.prompts = len(prompts)
        self.choices = self.prompts * max(body.n or 1, body.best_of or 1)
        # With 0 only the prompt is scored, or echoed; a token is held for, and is the most to pay.
        self.max_tokens = None if body.max_tokens is None else max(body.max_tokens, 1)
        self.routing: Routing | None = read_routing(body) if body.routes else None
        self._extras = body.extras(body.tools) + cache_extras(raw)
        self._asked = body.asked(self._extras, raw, self.choices)
        self._predicted = 0
        more = utf8_size(body.suffix or "") + unknown_bytes(raw, KNOWN)
        self._bounds = [_bound(each, more) for each in prompts]
        self._size = PromptSize(0, self.prompts)
        suffix = estimate_tokens(body.suffix or "") * self.prompts
        counts = [_estimated(each) for each in prompts]
        self._input_tokens = sum(counts) + suffix
        self._echoed = _echoed(prompts, counts) * (body.n or 1) if body.echo else 0
        self._begin = len(prompts[0])
        self._as_chat: CompletionsAsChat | None = None

    def at(self, provider: Provider, offer: Model) -> CompletionsRequest | CompletionsAsChat:
        """As it is where the model completes a bare prompt, else in chat's form."""
        if provider.takes_completions(offer.id):
            return self
        if self._as_chat is None:
            self._as_chat = CompletionsAsChat(self, self._begin)
        return self._as_chat

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Priced by tokens of text; the price of an embedding is not one for output."""
        if not model.price.counts_tokens or no_text(model):
            return unpriced_operation("completions", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def input_bound(self, model: Model) -> int:
        """Each prompt may fill the model's context."""
        context_length = model.context_length
        if context_length is None:
            return sum(self._bounds)
        return sum(min(each, context_length) for each in self._bounds)

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count (money rule 6).

        An echo alone may count as one token, and nothing was made: that refutes no report.
        """
        if not self._echoed:
            return super().used(report, offer, made)
        return super().used(report, offer, lambda: count if (count := made()) > 1 else 0)

    def counted_input_tokens(self) -> int:
        """It was counted when the body was read."""
        assert self._input_tokens is not None, "a prompt is counted when it is read"
        return self._input_tokens

    def let_go(self) -> None:
        """Keep nothing of the body's bytes."""
        self.raw = b""

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The caller's members, with the provider's id of the model, and usage in streams."""
        members = counted_members(self, model, provider)
        if max_tokens is not None:
            members[MAXIMUM_PLAIN] = msgspec.Raw(b"%d" % max_tokens)
        return _encode(members)

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        found = read_text(offer.provider, raw, call_id=call_id, model=offer.id)
        made = max(0, count_texts(found.raw) - self._echoed)
        usage = self.used(found.usage, offer, lambda: made)
        paid = charged(usage)
        told = tell(found.raw, offer.public_id, paid, offer.price.cost(paid).nano_usd)
        return Answer(told, found.request_id, usage)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TextScanner:
        """What reads an offer's stream."""
        return TextScanner(
            offer, call_id, charge, keep_usage=self.include_usage, echoed=self._echoed
        )


def _bound(prompt: Prompt, more_bytes: int) -> int:
    """The most tokens of one prompt, with so many bytes beside it (money rule 2)."""
    if isinstance(prompt, str):
        more_bytes += utf8_size(prompt)
    tokens = 0 if isinstance(prompt, str) else len(prompt)
    return tokens + -(-more_bytes // BYTES_PER_TOKEN_BOUND) + MESSAGE_OVERHEAD_TOKENS


def _estimated(prompt: Prompt) -> int:
    return estimate_tokens(prompt) if isinstance(prompt, str) else len(prompt)


def _echoed(prompts: list[Prompt], counts: list[int]) -> int:
    """Our own count of the prompts as they come back, one for each more than it can be off."""
    return sum(
        count * (1 if isinstance(prompt, str) else ECHOED_TOKEN_SHARE) + 1
        for prompt, count in zip(prompts, counts, strict=True)
    )


def _prompts_of(body: CompletionsBody, limits: RequestSettings) -> list[Prompt]:
    """The prompts one by one; raises ApiError 400 for none, too many, or one of another kind."""
    given = body.prompt
    several = isinstance(given, list) and not (given and isinstance(given[0], int))
    prompts: list[Any] = given if several and isinstance(given, list) else [given]
    if not prompts:
        raise _empty()
    check_range(
        "prompt", len(prompts), limits.completion_prompts_max, called="the number of prompts"
    )
    for each in prompts:
        if not isinstance(each, str) and not (isinstance(each, list) and _tokens(each)):
            message = "prompt must be a text, a list of texts, tokens, or lists of tokens."
            raise bad_request("invalid_type", message, "prompt")
        # Code may be filled in before what follows it.
        if not each and not (each == "" and body.suffix):
            raise _empty()
    return prompts


def _tokens(given: list[Any]) -> bool:
    if not given:
        return True
    # By what runs in C: a body may hold millions of them.
    return set(map(type, given)) == {int} and min(given) >= 0 and max(given) <= TOKEN_ID_MAX


def _empty() -> ApiError:
    return bad_request("empty_prompt", "prompt is empty: send what is to be completed.", "prompt")


def parse_completions(raw: bytes, limits: RequestSettings) -> CompletionsRequest:
    """Check a body; raises ApiError 400 that names what is wrong and where."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    prompts = _prompts_of(body, limits)
    check_range("n", body.n, limits.choices_max)
    check_range("best_of", body.best_of, limits.choices_max)
    if body.best_of is not None and body.best_of < (body.n or 1):
        message = "best_of must be at least n: of so many candidates n are given."
        raise bad_request("invalid_value", message, "best_of")
    if body.max_tokens != 0:
        check_range("max_tokens", body.max_tokens, TOKENS_MAX)
    if body.logprobs != 0:
        check_range("logprobs", body.logprobs, LOGPROBS_MAX)
    return CompletionsRequest(raw, body, prompts, limits)
