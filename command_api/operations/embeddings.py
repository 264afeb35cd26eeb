"""/v1/embeddings: what a body asks and bounds, and which answers count.

What the caller sent reaches the provider as it is; only `model` is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.extras import priced_extras, unpriced_extra, unpriced_operation
from command_api.operations.request import MediaBody, MediaRequest, tokens_bound
from command_api.operations.vectors import in_encoding
from command_api.replies.failures import failure_of_nothing
from domain.ledger.holds import CallBound
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import Usage, estimate_tokens
from edge.body import check_model, check_range, decode_body, decode_members
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import HoldSettings, RequestSettings
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider


class EmbeddingsBody(MediaBody, kw_only=True):
    """The members that matter here."""

    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None


LIST_MEMBERS = ("object", "model", "usage")
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(EmbeddingsBody).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class EmbeddingsRequest(MediaRequest):
    """A checked request for embeddings."""

    operation = Operation.EMBEDDINGS
    named = True

    def __init__(self, raw: bytes, body: EmbeddingsBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        super().__init__(raw, body, limits)
        self._inputs = _inputs_of(body.input)
        self.encoding = body.encoding_format or "float"

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Embeddings are priced by their tokens."""
        if not model.price.counts_tokens:
            return unpriced_operation("embeddings", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """Each input is a prompt of its own, cut off at the model's context (money rule 2)."""
        most = model.context_length
        sizes = (tokens_bound(each) for each in self._inputs)
        return CallBound(
            input_tokens=sum(size if most is None else min(size, most) for size in sizes),
            extras=priced_extras(self._extras, model),
        )

    def let_go(self) -> None:
        """Keep nothing of the body's bytes; the answer was judged."""
        super().let_go()
        self._inputs = []

    def estimated_input_tokens(self) -> int:
        """Our own count (money rule 6)."""
        return sum(
            estimate_tokens(each) if isinstance(each, str) else len(each) for each in self._inputs
        )

    def estimated(self, _: int) -> Usage:
        """Our own count: embeddings have no output."""
        return Usage(
            input_tokens=max(1, self.estimated_input_tokens()), output_tokens=0, source="estimated"
        )

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count (money rule 6)."""
        maxima = UsageMaxima.of(
            context_length=offer.context_length,
            max_output_tokens=offer.max_output_tokens,
            requested=None,
            unknown_tokens=self._usage_tokens_max,
            prompts=len(self._inputs),
        )
        return believed(
            report, maxima, offer.price, made=made, estimate=self.estimated, least=(1, 0)
        )

    def counted(self, usage: Usage, _: bytes) -> Usage:
        """The report says it all."""
        return usage

    def mended(self, raw: bytes, offer: Model, _: str, usage: Usage) -> bytes:
        """OpenAI's list has `object`, `model` and `usage`; some providers leave one out.

        Raises UpstreamFailure for more or fewer vectors: nobody knows whose each of them is.
        """
        members = decode_members(raw)
        if len(_decode_items(bytes(members["data"]))) != len(self._inputs):
            raise failure_of_nothing(offer.provider, "another number of vectors than of inputs")
        raw = in_encoding(raw, self.encoding)
        members = decode_members(raw)
        if all(bytes(members.get(name, b"null")) != b"null" for name in LIST_MEMBERS):
            return raw
        tokens = usage.input_tokens
        members["object"] = msgspec.Raw(b'"list"')
        members.setdefault("model", msgspec.Raw(_encode(offer.id)))
        report = {"prompt_tokens": tokens, "total_tokens": tokens}
        members["usage"] = msgspec.Raw(_encode(report))
        return _encode(members)


def _inputs_of(given: str | list[Any]) -> list[str | list[int]]:
    """The inputs one by one; raises ApiError 400 for one that is neither text nor tokens."""
    if isinstance(given, str):
        return [given]
    if given and all(type(each) is int for each in given):
        return [given]
    for each in given:
        if not isinstance(each, str) and not (
            isinstance(each, list) and all(type(token) is int for token in each)
        ):
            message = "input must be a text, a list of texts, or lists of tokens."
            raise bad_request("invalid_type", message, "input")
    return given


def parse_embeddings(raw: bytes, limits: RequestSettings) -> EmbeddingsRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.input:
        message = "input is empty: send at least one text."
        raise bad_request("empty_input", message, "input")
    if isinstance(body.input, list) and not isinstance(body.input[0], int):
        check_range(
            "input", len(body.input), limits.embedding_inputs_max, called="the number of inputs"
        )
    if body.encoding_format not in (None, "float", "base64"):
        message = "encoding_format must be float or base64."
        raise bad_request("invalid_value", message, "encoding_format")
    check_range("dimensions", body.dimensions, limits.embedding_dimensions_max)
    return EmbeddingsRequest(raw, body, limits)
