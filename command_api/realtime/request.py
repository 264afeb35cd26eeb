"""What an upgrade asks for: a model. Its hold is for the first response of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs

from command_api.operations.extras import unpriced_operation
from domain.ledger.holds import CallBound
from domain.pricing.usage import Usage
from domain.realtime.session import SessionCount
from edge.body import check_model
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.routing.wishes import Routing
    from command_api.settings.calls import HoldSettings
    from edge.asgi import Scope
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

QUERY_MEMBERS_MAX = 16


class RealtimeRequest:
    """A checked upgrade."""

    operation = Operation.REALTIME
    stream = include_usage = True
    choices = 1
    maximum_named = ""
    cheaper = ""
    max_tokens: int | None = 0
    """Nobody is told a maximum: each response has the model's own."""
    raw = b""
    routing: Routing | None = None

    def __init__(self, model: str) -> None:
        """A session with one model."""
        self.model = model

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Text and audio have prices, alike however long a prompt is (P10)."""
        if not provider.realtime:
            message = (
                f"{provider.name} has no realtime sessions here, so {model.public_id!r} has none. "
                "Those of OpenAI's kind have, where the operator says so."
            )
            return bad_request("realtime_not_offered", message, "model")
        price = model.price
        terms = price.terms
        priced = price.counts_tokens and not terms.tiers
        heard, said = terms.audio_input_per_million, terms.audio_output_per_million
        if not priced or heard is None or said is None:
            return unpriced_operation("realtime", model)
        return None

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """The first response."""
        first = count_of(model).bound
        return CallBound(input_tokens=first.input_tokens, output_tokens=first.output_tokens)

    def estimated_input_tokens(self) -> int:
        """Nothing was said yet."""
        return 0

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """A session counts for itself."""
        del offer, made
        return report or Usage(0, 0)

    def let_go(self) -> None:
        """There is no body."""


def count_of(offer: Model) -> SessionCount:
    """The counts of a new session at an offer."""
    return SessionCount(
        offer.price,
        context_length=offer.context_length,
        max_output_tokens=offer.max_output_tokens,
    )


def read_upgrade(scope: Scope) -> RealtimeRequest:
    """Check an upgrade's query; raises ApiError 400."""
    try:
        query = parse_qs(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            max_num_fields=QUERY_MEMBERS_MAX,
            errors="strict",
        )
    except ValueError:
        _refuse("The query cannot be read: send ?model=ID.")
    for name in query:
        if name == "call_id":
            _refuse("call_id is of calls over WebRTC or SIP, which are not served.", name)
        if name != "model":
            _refuse(f"{name[:100]!r} is no parameter of this route: send ?model=ID alone.", name)
    models = query.get("model", [])
    if len(models) != 1:
        _refuse("Send the model as ?model=ID, once.", "model")
    check_model(models[0])
    return RealtimeRequest(models[0])


def _refuse(message: str, param: str | None = None) -> NoReturn:
    raise bad_request("invalid_value", message, param[:100] if param else None)
