"""/v1/moderations: what a body asks and bounds, and which answers count.

What the caller sent reaches the provider as it is; only `model` is replaced. The categories are the
provider's own: OpenAI's, Mistral's (OpenAI's OpenAPI document, version 2.3.0, "createModeration";
Mistral's API, "Moderations").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from command_api.operations.extras import priced_extras, unpriced_extra, unpriced_operation
from command_api.operations.judging.kinds import MODERATION, moderates, of_another_kind
from command_api.operations.prompts import IMAGE_TOKENS
from command_api.operations.request import MediaBody, MediaRequest, tokens_bound
from command_api.replies.failures import failure_of_nothing
from domain.ledger.holds import CallBound
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import Usage, estimate_tokens
from edge.body import check_model, check_range, decode_body, decode_members
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.completions import Reply
    from command_api.settings.calls import HoldSettings, RequestSettings
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

DEFAULT_MODEL = "omni-moderation-latest"
"""Whom OpenAI asks where the body names nobody."""


class _ImageUrl(msgspec.Struct):
    url: str


class Part(msgspec.Struct):
    """A text or an image of an input that has several."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: _ImageUrl | None = None


class ModerationsBody(MediaBody, kw_only=True):
    """The members that matter here."""

    model: str = DEFAULT_MODEL
    input: str | list[str | Part]


class _Verdict(msgspec.Struct):
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]
    flagged: bool = False


class _Answer(msgspec.Struct):
    results: list[_Verdict]


_decode = msgspec.json.Decoder(ModerationsBody).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.encode


class ModerationsRequest(MediaRequest):
    """A checked request for verdicts: on each of several texts, or on the parts of one input."""

    operation = Operation.MODERATIONS
    named = True
    items_name = "results"

    def __init__(self, raw: bytes, body: ModerationsBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        super().__init__(raw, body, limits)
        given = [body.input] if isinstance(body.input, str) else body.input
        self._parts = sum(isinstance(each, Part) for each in given)
        self._images = sum(isinstance(each, Part) and each.type == "image_url" for each in given)
        self._texts = [
            (each.text or "") if isinstance(each, Part) else each
            for each in given
            if not (isinstance(each, Part) and each.type == "image_url")
        ]

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Only a model that gives verdicts is asked for them; its tokens have a price, be it 0."""
        if not moderates(model):
            return of_another_kind(model, "/v1/moderations", MODERATION)
        if not model.price.counts_tokens:
            return unpriced_operation("moderations", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """Each text is a prompt of its own, cut off at the model's context (money rule 2)."""
        most = model.context_length
        sizes = (tokens_bound(each) for each in self._texts)
        return CallBound(
            input_tokens=sum(size if most is None else min(size, most) for size in sizes)
            + (model.media.images((), self._images) if self._images else 0),
            input_images=self._images,
            extras=priced_extras(self._extras, model),
        )

    def let_go(self) -> None:
        """Keep nothing of the body's bytes; the answer was judged."""
        super().let_go()
        self._texts = []

    def items_of(self, reply: Reply) -> Any:
        """The verdicts."""
        return reply.results

    def estimated_input_tokens(self) -> int:
        """Our own count (money rule 6)."""
        return sum(map(estimate_tokens, self._texts)) + self._images * IMAGE_TOKENS

    def estimated(self, _: int) -> Usage:
        """Our own count: verdicts are no output."""
        return Usage(
            input_tokens=max(1, self.estimated_input_tokens()), output_tokens=0, source="estimated"
        )

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count: OpenAI gives none.

        Verdicts are no tokens: who reports output is not paid for it.
        """
        maxima = UsageMaxima.of(
            context_length=offer.context_length,
            max_output_tokens=offer.max_output_tokens,
            requested=None,
            unknown_tokens=self._usage_tokens_max,
            prompts=len(self._texts) + self._images,
        )
        usage = believed(
            report, maxima, offer.price, made=made, estimate=self.estimated, least=(1, 0)
        )
        return usage._replace(output_tokens=0, reasoning_tokens=0, audio_output_tokens=0)

    def counted(self, usage: Usage, _: bytes) -> Usage:
        """No report tells the images: they are ours to count."""
        return usage.with_input_images(self._images) if self._images else usage

    def mended(self, raw: bytes, offer: Model, call_id: str, _: Usage) -> bytes:
        """OpenAI's answer has `id` and `model`, and a verdict for each input.

        Raises UpstreamFailure for more or fewer: nobody knows which text each of them is on.
        """
        verdicts = len(_decode_answer(raw).results)
        fits = verdicts <= self._parts if self._parts else verdicts == len(self._texts)
        if not fits:
            raise failure_of_nothing(offer.provider, "another number of results than of inputs")
        members = decode_members(raw)
        members.setdefault("id", msgspec.Raw(_encode(f"modr-{call_id}")))
        members.setdefault("model", msgspec.Raw(_encode(offer.id)))
        return _encode(members)


def parse_moderations(raw: bytes, limits: RequestSettings) -> ModerationsRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.input:
        message = "input is empty: send at least one text."
        raise bad_request("empty_input", message, "input")
    if isinstance(body.input, list):
        check_range(
            "input", len(body.input), limits.moderation_inputs_max, called="the number of inputs"
        )
        if len({type(each) for each in body.input}) > 1:
            message = "input must be a text, a list of texts, or a list of parts."
            raise bad_request("invalid_type", message, "input")
        for each in body.input:
            if isinstance(each, Part) and getattr(each, each.type) is None:
                message = f"A part of type {each.type} needs {each.type}."
                raise bad_request("invalid_type", message, "input")
    return ModerationsRequest(raw, body, limits)
