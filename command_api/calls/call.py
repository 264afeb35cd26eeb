"""One call: its identity, its plan, its bound, and the record of its attempts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from domain.pricing.money import ENTRY_NANO_USD_MAX
from domain.pricing.usage import Usage
from event_store.ids import id_bytes, now_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.calls.beside.caching import Caching
    from command_api.guardrails.guarding import Guarding
    from command_api.limits.gate import Admission
    from command_api.operations.request import BoundRequest
    from command_api.routing.router import Plan
    from command_api.settings.calls import HoldSettings
    from domain.ledger.holds import CallBound
    from edge.caller import Caller
    from providers.inference.registry.offers import Model, Provider

END_TOKENS = 4
"""What ends an answer counts as one of its tokens at some providers (measured: Hyperbolic)."""
OUTPUT_TOKENS_UNKNOWN = 128_000
"""The whole output of a model of which nobody says how much it makes."""


class Attempt:
    """One try of one offer; times in milliseconds."""

    __slots__ = ("_began", "_call", "_line", "first_output_ms", "limit", "offer", "started_at")

    def __init__(self, call: Call, offer: Model, started_at: str) -> None:
        """It begins now."""
        self._call, self.offer, self.started_at = call, offer, started_at
        self._began = time.perf_counter()
        self._line: dict[str, Any] | None = None
        self.first_output_ms: int | None = None
        self.limit: int | None = None
        """The most tokens of answer that its provider was told, all choices together."""

    @property
    def elapsed_ms(self) -> int:
        """Since it began."""
        return int((time.perf_counter() - self._began) * 1_000)

    def record(self, *, status: int | None, error: str | None = None, cost: int = 0) -> None:
        """Note how it ended, and what its provider asks (`asked`); no text of prompt or reply.

        An attempt ends once: what is said of it later is passed over.
        """
        if self._line is not None:
            return
        line: dict[str, Any] = {
            "provider": self.offer.provider,
            "model": self.offer.id,
            "status": status,
            "started_at": self.started_at,
            "duration_ms": self.elapsed_ms,
            "cost_nano_usd": cost,
        }
        if self.offer.own_key:
            line |= {"own_key": self.offer.own_key, **_paid_by_its_owner(cost)}
        if self.first_output_ms is not None:
            line["first_output_ms"] = self.first_output_ms
        if error is not None:
            line["error"] = error
        self._line = line
        self._call.attempts.append(line)

    def charged(self, usage: Usage) -> Usage:
        """What of its usage the caller pays: of an answer beyond its maximum, the maximum.

        Reasoning may pass it: some providers count only the answer against it (xAI, OpenRouter).
        Of what costs more than an entry can be, the caller pays for what was held for.
        """
        usage = self._within_maximum(usage)
        if self._call.covers(usage) or (
            self.offer.price.cost(usage).nano_usd <= ENTRY_NANO_USD_MAX
        ):
            return usage
        return self._call.covered(usage)

    def _within_maximum(self, usage: Usage) -> Usage:
        most = self.limit
        if most is None:
            return usage
        most_told = most + END_TOKENS * self._call.request.choices
        if usage.output_tokens - usage.reasoning_tokens <= most_told:
            return usage
        return usage.with_answer_at_most(most)

    def asked(self, made: Usage) -> int:
        """What its provider asks for what it made, nano-USD, whatever share of that is charged."""
        return (self.offer.full_price or self.offer.price).cost(made).nano_usd

    def costs(self, made: Usage, at_price: int) -> int:
        """Note what it cost at the provider, once that is known, in nano-USD.

        `at_price` is the cost of the same at the offer's price. Returns that, and 0 for an own key:
        what its provider asks is its owner's bill, and none of the house.
        """
        assert self._line is not None, "an attempt is recorded before it is charged"
        asked = at_price if self.offer.full_price is None else self.asked(made)
        if self.offer.own_key:
            self._line |= _paid_by_its_owner(asked)
            return 0
        self._line["cost_nano_usd"] = asked
        return at_price


def _paid_by_its_owner(asked: int) -> dict[str, int]:
    """What an attempt with an own key cost the house, and what its owner at the provider."""
    return {"cost_nano_usd": 0, "own_key_cost_nano_usd": asked}


class Call:
    """One call: its identity, its plan, its bound, and the record of its attempts."""

    __slots__ = (
        "_holds",
        "_tried",
        "admission",
        "app",
        *("asks_again", "attempts", "available"),
        *("bound", "bound_tokens"),
        *("caching", "caller", "charged", "correlation_id", "estimated_cost"),
        *("follows", "give_back", "guarding", "held"),
        "hold_event_id",
        "id",
        "id_bytes",
        "idempotency_key",
        "kept_reply",
        "model",
        "out_of_quota",
        "plan",
        "queued_ms",
        "request",
        "started_at",
        *("timed", "tokens"),
        "unresolved",
    )

    def __init__(  # noqa: PLR0913 - a call is complete when it is made.
        self,
        *,
        call_id: str,
        correlation_id: str,
        caller: Caller,
        request: BoundRequest,
        plan: Plan,
        holds: HoldSettings,
        app: str = "",
        idempotency_key: bytes = b"",
        caching: Caching | None = None,
        guarding: Guarding | None = None,
    ) -> None:
        """Bound the call (money rule 2); nothing is held yet.

        `available` is what can be spent beside the hold, once that is placed, in nano-USD.
        """
        self.id, self.id_bytes, self.correlation_id = call_id, id_bytes(call_id), correlation_id
        self.caller, self.request, self._holds = caller, request, holds
        self.app, self.idempotency_key, self.caching = app, idempotency_key, caching
        self.guarding, self.started_at = guarding, now_iso()
        self.attempts, self._tried = list[dict[str, Any]](), False
        self.give_back: Callable[[], None] | None = None
        """Called once a large body is not kept any more."""
        self.hold_event_id = self.follows = ""
        self.available, self.queued_ms, self.kept_reply = 0, 0, b""
        self.unresolved = self.out_of_quota = self.asks_again = False
        self.timed = False  # Whether it has less time than its provider is given by itself.
        self.admission: Admission | None = None  # There is one where its caller has rate limits.
        self.charged: tuple[Usage, int] | None = None
        """What it used and what it was charged for, nano-USD, once it is settled."""
        self.take_plan(plan)

    def take_plan(self, plan: Plan) -> None:
        """The hold covers the dearest offer that may be tried."""
        self.plan = plan
        self._take(plan.offers[0])
        self.held = self.bound_at(self.model, self.bound)
        self.tokens = self.bound.input_tokens + self.bound.output_tokens
        for other in plan.offers[1:]:
            bound = self.request.bound(other, self._holds)
            self.held = max(self.held, self.bound_at(other, bound))
            self.tokens = max(self.tokens, bound.input_tokens + bound.output_tokens)
        tokens = min(self.request.estimated_input_tokens(), self.bound.input_tokens)
        estimate = self.model.price.bound(input_tokens=tokens, output_tokens=0)
        self.estimated_cost = 0 if self.model.own_key else min(estimate, self.held)

    def _take(self, offer: Model) -> None:
        self.model = offer
        self.bound: CallBound = self.request.bound(offer, self._holds)
        self.bound_tokens = self.bound.output_tokens

    @staticmethod
    def bound_at(offer: Model, bound: CallBound, *, more_tokens: int = 0) -> int:
        """The most that a use of this bound costs at an offer, nano-USD."""
        return offer.price.bound(
            input_tokens=bound.input_tokens,
            output_tokens=bound.output_tokens + more_tokens,
            **bound.beside_tokens,
        )

    def narrow(self, available: int) -> bool:
        """Keep only the offers that so much covers; False when that changes nothing."""
        kept = tuple(
            each
            for each in self.plan.offers
            if self.bound_at(each, self.request.bound(each, self._holds)) <= available
        )
        if not kept or len(kept) == len(self.plan.offers):
            return False
        self.take_plan(self.plan._replace(offers=kept))
        return True

    def continue_as(self, call_id: str, follows: str) -> None:
        """Be another attempt of the call that has the key; `follows` ended the one before."""
        self.id, self.id_bytes, self.follows = call_id, id_bytes(call_id), follows

    def begin(self, offer: Model) -> Attempt:
        """An attempt at an offer begins."""
        self.settle_with(offer)
        # The first one begins with its call, give or take the hold: one clock reading less.
        started_at = now_iso() if self._tried else self.started_at
        self._tried = True
        return Attempt(self, offer, started_at)

    def covers(self, usage: Usage) -> bool:
        """Whether so much lies within what is held for, so that it cannot cost more."""
        return (
            usage.input_tokens <= self.bound.input_tokens
            and usage.output_tokens <= self.bound_tokens
            and usage.image_pixels <= self.bound.image_pixels
            and usage.searches <= self.bound.searches
        )

    def covered(self, usage: Usage) -> Usage:
        """Of a usage that no entry can hold, what is held for, marked as no report of anybody."""
        return Usage(
            input_tokens=min(usage.input_tokens, self.bound.input_tokens),
            output_tokens=min(usage.output_tokens, self.bound_tokens),
            source="estimated",
            input_images=usage.input_images,
            images=usage.images,
            image_pixels=min(usage.image_pixels, self.bound.image_pixels),
            audio_seconds=min(usage.audio_seconds, self.bound.audio_seconds),
            searches=min(usage.searches, self.bound.searches),
            characters=usage.characters,
            implausible=True,
            extras=usage.extras,
            uses=usage.uses,
            service_tier=usage.service_tier,
        )

    def settle_with(self, offer: Model) -> None:
        """This offer's price and bound count from now on."""
        if offer is not self.model:
            self._take(offer)

    def let_go_body(self) -> None:
        """Keep nothing of a large body: an offer answers, and no other will be asked."""
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            self.request.let_go()
            give_back()

    def output_limit(self, provider: Provider) -> int | None:
        """The output bound to send upstream, in tokens; None to leave the body as it came.

        Where the caller gave none it is sent with `strict_holds`, to a provider that wants one, and
        when the account could not pay for all that the model can make (money rule 2).
        """
        if self.request.max_tokens is not None:
            return None
        if self._holds.strict or provider.needs_max_tokens or not self.affords_all:
            return self.bound.output_tokens // self.request.choices
        return None

    def answer_limit(self, sent: int | None) -> int | None:
        """The most tokens of answer there may be: the caller's maximum, or the one we sent."""
        each = self.request.max_tokens or sent
        return each * self.request.choices if each else None

    @property
    def affords_all(self) -> bool:
        """Whether what is available beside the hold covers the model's whole output."""
        model, bound = self.model, self.bound
        most = (model.max_output_tokens or OUTPUT_TOKENS_UNKNOWN) * self.request.choices
        more = most - bound.output_tokens
        return more <= 0 or (
            self.bound_at(model, bound, more_tokens=more) - self.held <= self.available
        )
