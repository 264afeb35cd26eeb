"""/v1/rerank: what a body asks and bounds, and which answers count.

In the form of Cohere (API v2, "Rerank"), which is that of Jina, Together, OpenRouter and vLLM, too;
Voyage says `top_k` and `data` for `top_n` and `results` (Voyage, "Rerankers"). Providers get plain
texts: the documents of an answer are put in here, so that nobody sends them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.extras import priced_extras, unpriced_extra, unpriced_operation
from command_api.operations.judging.kinds import SCORE, of_another_kind, ranks
from command_api.operations.request import MediaBody, MediaRequest, tokens_bound
from command_api.replies.failures import failure_of_nothing
from command_api.replies.usage_report import parse_usage
from command_api.routing.wishes import members_for
from domain.ledger.holds import CallBound
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.searches import search_units, units_can_be
from domain.pricing.usage import Usage, estimate_tokens
from edge.body import check_model, check_range, decode_body, decode_members
from edge.errors import bad_request
from providers.inference.port import Operation
from providers.inference.registry.built_in import Reranks

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.completions import Reply
    from command_api.settings.calls import HoldSettings, RequestSettings
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

TOP_NAMES = {Reranks.COHERE: "top_n", Reranks.VOYAGE: "top_k"}
"""What each form calls the most results of an answer."""
UNREADABLE = -1
"""A count of search units that cannot be read: it cannot be."""


class _Document(msgspec.Struct):
    text: str


class RerankBody(MediaBody, kw_only=True):
    """The members that matter here."""

    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None


class _Ranked(msgspec.Struct):
    index: int
    relevance_score: float
    document: Any = msgspec.UNSET


_decode = msgspec.json.Decoder(RerankBody).decode
_decode_ranked = msgspec.json.Decoder(list[_Ranked]).decode
_encode = msgspec.json.encode


class RerankRequest(MediaRequest):
    """A checked request to rank documents for a query."""

    operation = Operation.RERANK
    named = True
    items_name = "results"

    def __init__(self, raw: bytes, body: RerankBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        super().__init__(raw, body, limits)
        self._query = body.query
        self._documents = [
            each.text if isinstance(each, _Document) else each for each in body.documents
        ]
        self._count = len(self._documents)
        self._top = min(body.top_n or self._count, self._count)
        self._returns = bool(body.return_documents)
        self._document_tokens_max = body.max_tokens_per_doc

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Only a model that ranks is asked; its searches or its tokens have a price."""
        if not ranks(model):
            return of_another_kind(model, "/v1/rerank", SCORE)
        if not (model.price.counts_searches or model.price.counts_tokens):
            return unpriced_operation("reranks", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body for the provider: plain texts, and the most results by its own name."""
        del max_tokens
        members = members_for(self, model, provider)
        members.pop("return_documents", None)
        members["documents"] = msgspec.Raw(_encode(self._documents))
        top = members.pop("top_n", None)
        if top is not None:
            members[TOP_NAMES[provider.rerank]] = top
        return _encode(members)

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """The query beside each document, and as many searches as they fill (money rule 2)."""
        query, sizes = self._sizes(tokens_bound)
        return CallBound(
            input_tokens=query * self._count + sum(sizes),
            searches=search_units(query, sizes) if model.price.counts_searches else 0,
            extras=priced_extras(self._extras, model),
        )

    def _sizes(self, count: Callable[[str], int]) -> tuple[int, list[int]]:
        """The tokens of the query and of each document, as far as the caller lets it be read."""
        most = self._document_tokens_max
        sizes = map(count, self._documents)
        return count(self._query), [size if most is None else min(size, most) for size in sizes]

    def let_go(self) -> None:
        """Keep nothing of the body's bytes; the answer was judged."""
        super().let_go()
        self._query, self._documents = "", []

    def items_of(self, reply: Reply) -> Any:
        """The results; Voyage calls them `data`."""
        return reply.data if reply.results is None else reply.results

    def report_of(self, reply: Reply) -> Usage | None:
        """What it says of tokens and of search units; 0 is what it does not say.

        Cohere tells both under `meta`, everybody else tokens under `usage`.
        """
        meta = reply.meta if isinstance(reply.meta, dict) else {}
        billed = meta.get("billed_units")
        told = (reply.usage, meta.get("tokens"), billed)
        reports = (parse_usage(each) for each in told if isinstance(each, dict))
        tokens = next((each for each in reports if each is not None), None)
        units = billed.get("search_units") if isinstance(billed, dict) else None
        if tokens is None and units is None:
            return None
        return (tokens or Usage(0, 0))._replace(searches=0 if units is None else _whole(units))

    def estimated_input_tokens(self) -> int:
        """Our own count (money rule 6)."""
        query, sizes = self._sizes(estimate_tokens)
        return query * self._count + sum(sizes)

    def estimated(self, _: int) -> Usage:
        """Our own count: scores are no output."""
        return Usage(
            input_tokens=max(1, self.estimated_input_tokens()), output_tokens=0, source="estimated"
        )

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count (money rule 6).

        Where tokens have no price none need be reported. Scores are no tokens: who reports output
        is not paid for it.
        """
        price = offer.price
        tokens = report._replace(searches=0) if report is not None and report[0] else None
        if tokens is None and not price.counts_tokens:
            usage = Usage(0, 0)
        else:
            maxima = UsageMaxima.of(
                context_length=offer.context_length,
                max_output_tokens=offer.max_output_tokens,
                requested=None,
                unknown_tokens=self._usage_tokens_max,
                prompts=self._count,
            )
            usage = believed(
                tokens, maxima, price, made=made, estimate=self.estimated, least=(1, 0)
            )
            usage = usage._replace(output_tokens=0, reasoning_tokens=0, audio_output_tokens=0)
        if not price.counts_searches:
            return usage
        return self._with_searches(usage, 0 if report is None else report.searches)

    def _with_searches(self, usage: Usage, reported: int) -> Usage:
        """The usage with the provider's search units, or with our own count of them."""
        if units_can_be(reported, search_units(*self._sizes(tokens_bound))):
            return usage._replace(searches=reported)
        return usage._replace(
            searches=search_units(*self._sizes(estimate_tokens)),
            source="estimated",
            implausible=usage.implausible or reported != 0,
        )

    def counted(self, usage: Usage, _: bytes) -> Usage:
        """The report says it all."""
        return usage

    def mended(self, raw: bytes, offer: Model, call_id: str, usage: Usage) -> bytes:
        """The answer in one form, whoever gave it: the best first, no more than were asked for.

        Raises UpstreamFailure where a result is on no document, or two are on the same.
        """
        members = decode_members(raw)
        data = members.pop("data", None)
        found = _decode_ranked(members.get("results", data) or b"")
        places = {each.index for each in found}
        if len(places) < len(found) or not places <= set(range(self._count)):
            raise failure_of_nothing(offer.provider, "results on other documents")
        best = sorted(found, key=lambda each: -each.relevance_score)[: self._top]
        for each in best:
            text = self._documents[each.index]
            each.document = {"text": text} if self._returns else msgspec.UNSET
        members["results"] = msgspec.Raw(_encode(best))
        members.setdefault("id", msgspec.Raw(_encode(call_id)))
        members["model"] = msgspec.Raw(_encode(offer.id))
        if usage.searches:
            told = {"billed_units": {"search_units": usage.searches}}
            members["meta"] = msgspec.Raw(_encode(told))
        return _encode(members)


def _whole(units: Any) -> int:
    """A count of search units, however it is written; what is none, or no unit, cannot be."""
    try:
        return msgspec.convert(units, int, strict=False) or UNREADABLE
    except msgspec.ValidationError:
        return UNREADABLE


def parse_rerank(raw: bytes, limits: RequestSettings) -> RerankRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.query.strip():
        message = "query is empty: say what the documents are ranked for."
        raise bad_request("empty_input", message, "query")
    if not body.documents:
        message = "documents is empty: send at least one."
        raise bad_request("empty_input", message, "documents")
    check_range(
        "documents",
        len(body.documents),
        limits.rerank_documents_max,
        called="the number of documents",
    )
    check_range("top_n", body.top_n, limits.rerank_documents_max)
    check_range("max_tokens_per_doc", body.max_tokens_per_doc, limits.usage_tokens_max)
    return RerankRequest(raw, body, limits)
