"""Chooses the offers of a call and their order, and keeps how each of them has been doing."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.routing.closed import Closed, in_maintenance
from command_api.routing.own_keys import OwnOffers
from command_api.routing.rooms import Rooms
from domain.routing.health import BreakerLimits, OfferHealth
from domain.routing.order import Choice, Policy, Wishes, arrange
from domain.routing.verdicts import Verdict, verdict_of
from edge.errors import PERMISSION, SERVER, ApiError, bad_request
from providers.inference.registry.names import ModelName
from providers.inference.registry.offers import price_rank
from providers.inference.registry.trouble import trouble_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.replies.failures import UpstreamFailure
    from command_api.routing.wishes import Routed, Routing
    from command_api.settings.calls import RoutingSettings
    from domain.provider_keys.secrets import OwnKey
    from providers.inference.registry.offers import Model, Provider
    from providers.inference.registry.registry import Registry

NO_WISHES = Wishes()
DICE_BITS = 64
HEALTH_MAX = 50_000


class Plan(NamedTuple):
    """The offers of a call in the order in which they are tried."""

    offers: tuple[Model, ...]
    hedge_after_ms: int | None = None
    beside: tuple[Model, ...] = ()
    """The same offers at other prices, by which the call may be settled as well."""

    @property
    def alternatives(self) -> tuple[Model, ...]:
        """All by which it may be settled but the first."""
        return (*self.offers[1:], *self.beside)


def _within(allowed: frozenset[str], model: str, offers: list[Model]) -> list[Model]:
    """The offers that a key limited to some providers may use; raises ApiError 403 for none."""
    kept = [each for each in offers if each.provider in allowed]
    if offers and not kept:
        message = (
            f"This API key may use {', '.join(sorted(allowed))} alone, and none of them serves "
            f"{model!r} here."
        )
        raise ApiError(403, "provider_not_allowed", message, kind=PERMISSION, param="model")
    return kept


def now_ms() -> int:
    """Milliseconds of a steady clock."""
    return time.monotonic_ns() // 1_000_000


class Router:
    """One for each process."""

    def __init__(
        self, registry: Registry, settings: RoutingSettings, own_key_fee_percent: int = 0
    ) -> None:
        """Nothing is known of any offer yet."""
        self._registry = registry
        self._attempts_max = settings.attempts_max
        self._limits = BreakerLimits(
            failures=settings.breaker_failures,
            open_ms=int(settings.breaker_open_s * 1_000),
            successes=settings.breaker_successes,
        )
        self._health: dict[tuple[str, str], OfferHealth] = {}
        self.closed = Closed()
        self.own_offers = OwnOffers(registry, own_key_fee_percent)
        self.rooms = Rooms(
            lambda name: registry.providers[name].concurrency,
            wait_s=settings.provider_wait_s,
            waiting_max=settings.provider_waiting_max,
        )

    def plan(
        self,
        request: Routed,
        account: str,
        allowed: frozenset[str] | None = None,
        own: tuple[OwnKey, ...] = (),
    ) -> Plan:
        """The offers for a request, of the providers that its key is limited to, and with which own
        keys they are asked.

        Raises ApiError 400, 403, 404 or 503 when there are none.
        """
        routing = request.routing
        if routing is None and not own:
            offers = self._registry.offers(request.model)
            if allowed:
                offers = _within(allowed, request.model, offers)
            if len(offers) == 1:
                sold = self._sold(request, offers)
                if self.closed and (left_s := self.closed.left_s(sold[0])):
                    raise in_maintenance(request.model, [(left_s, sold[0])])
                return Plan((sold[0],))
        return self._arranged(request, routing, account, allowed, own)

    def _sold(self, request: Routed, offers: list[Model]) -> list[Model]:
        """Those that have a price for all that the call can use; raises ApiError 400 for none."""
        refusals = [request.unpriced(each, self._provider(each)) for each in offers]
        if not any(refusals):
            return offers
        if all(refusals):
            raise next(each for each in refusals if each is not None)
        return [each for each, refused in zip(offers, refusals, strict=True) if refused is None]

    def _provider(self, offer: Model) -> Provider:
        return self._registry.providers[offer.provider]

    def _arranged(
        self,
        request: Routed,
        routing: Routing | None,
        account: str,
        allowed: frozenset[str] | None,
        own: tuple[OwnKey, ...],
    ) -> Plan:
        model = request.model
        wishes = routing.wishes if routing else NO_WISHES
        self._check_names(wishes)
        found: dict[tuple[str, str], Model] = {}
        hedge: int | None = None
        away: list[tuple[float, Model]] = []
        for name in dict.fromkeys((model, *(routing.models if routing else ()))):
            policy = self._registry.policy_of(name)
            offers = self._registry.offers(name)
            if routing and routing.named:
                # `openai/gpt-4o` may be a model of the provider that the caller names.
                offers = self._registry.offers(f"{routing.named}/{name}") or offers
            if not offers:
                raise self.refusal(name)
            if allowed:
                offers = _within(allowed, name, offers)
            offers = self._sold(request, offers)
            offers = self.own_offers.of(offers, own) if own else offers
            ordered = self._ordered(name, offers, policy, routing, account)
            ordered = sorted(ordered, key=lambda each: not each.own_key) if own else ordered
            for each in self.closed.admitted(ordered, away) if self.closed else ordered:
                found.setdefault((each.public_id, each.own_key), each)
            hedge = hedge or policy.hedge_after_ms
        if not found:
            if away:
                raise in_maintenance(model, away)
            message = (
                f"No provider of {model!r} fits `provider`: allow others, or raise max_price. "
                f"GET /v1/models lists who offers what."
            )
            raise ApiError(404, "no_provider_fits", message, param="provider")
        return Plan(tuple(found.values())[: self._attempts_max], hedge)

    def _ordered(
        self,
        name: str,
        offers: list[Model],
        policy: Policy,
        routing: Routing | None,
        account: str,
    ) -> Iterable[Model]:
        wishes = routing.wishes if routing else NO_WISHES
        if routing and self._registry.name_of(name).provider is not None:
            # The id names the provider: of the caller's wishes only these are left to ask.
            named = wishes.only if routing.named else ()
            wishes = Wishes(only=named, max_input=wishes.max_input, max_output=wishes.max_output)
            if self._registry.providers[offers[0].provider].own_routing and not named:
                wishes = NO_WISHES
        choices = [
            Choice(
                each.provider,
                price_rank(each),
                each.price.terms.input_per_million,
                each.price.terms.output_per_million,
                self.health(each),
            )
            for each in offers
        ]
        order = arrange(
            choices,
            policy,
            wishes,
            now_ms=now_ms(),
            dice=secrets.randbits(DICE_BITS),
            caller=f"{account}/{name}",
        )
        return [offers[index] for index in order]

    def _check_names(self, wishes: Wishes) -> None:
        registry = self._registry
        for name in wishes.only:
            if name in registry.providers:
                continue
            cure = "set its key" if name in registry.unconfigured else "GET /v1/provider lists them"
            message = f"provider {name!r} is not configured here: {cure}."
            raise bad_request("unknown_provider", message, "provider")

    def refusal(self, model: str) -> ApiError:
        """Why nobody can be asked for a model (P10)."""
        registry = self._registry
        unpriced = registry.unpriced(model)
        if unpriced is not None:
            provider, _ = unpriced
            text = f"{model!r} has no price at {provider.name}, so calls to it are refused."
            return ApiError(400, "model_unpriced", text, param="model")
        stale = registry.stale_provider(model)
        if stale is not None:
            text = (
                f"The catalog of {stale} is too old to be trusted, so {model!r} is not offered "
                "until it could be fetched again."
            )
            after = {"retry-after": "60"}
            return ApiError(503, "catalog_stale", text, kind=SERVER, headers=after)
        text = f"The model {model!r} is not offered here. GET /v1/models lists what is."
        named = ModelName.read(model, registry.unconfigured).provider
        if named is not None:
            text = f"The provider {named} is not configured here. GET /v1/models lists what is."
        return ApiError(404, "model_not_found", text, param="model")

    def health(self, model: Model) -> OfferHealth:
        """How an offer has been doing; of what own keys met nothing is kept."""
        if model.own_key:
            return OfferHealth(self._limits)
        key = (model.provider, model.id)
        found = self._health.get(key)
        if found is None:
            if len(self._health) >= HEALTH_MAX:
                self._health.clear()
            found = self._health[key] = OfferHealth(self._limits)
        return found

    def known(self, model: Model) -> OfferHealth | None:
        """How an offer has been doing, where it was tried here or told of."""
        return self._health.get((model.provider, model.id))

    def in_order(self, name: str) -> list[Model]:
        """The offers of a model in the order in which a call without wishes would try them."""
        offers, policy = self._registry.offers(name), self._registry.policy_of(name)
        return list(self._ordered(name, offers, policy, None, ""))

    def tried(self, provider: str) -> list[OfferHealth]:
        """How those offers of a provider have been doing of which anything is known."""
        return [
            health
            for (name, _), health in self._health.items()
            if name == provider and not (health.untroubled and health.latency_ms is None)
        ]

    def forget(self, provider: str) -> int:
        """Close the circuits of a provider's offers, and know nothing of them; how many."""
        names = [name for name in self._health if name[0] == provider]
        for name in names:
            del self._health[name]
        self._registry.providers[provider].trouble = None
        return len(names)

    def seed(self, told: dict[str, Any]) -> None:
        """Start from what `provider_health` says of an offer that was not tried here yet."""
        key = (told["provider"], told["model"])
        known = self._health.get(key)
        tried = known is not None and not (known.untroubled and known.latency_ms is None)
        if tried or len(self._health) >= HEALTH_MAX:
            return
        health = self._health[key] = OfferHealth(self._limits)
        if told["success_ppm"]:
            health.latency_ms = told["latency_ms"]
        else:
            for _ in range(min(told["attempts"], self._limits.failures)):
                health.failed(now_ms())

    def answered(self, model: Model) -> None:
        """A provider gave what was asked: whatever troubled it is over."""
        if not model.own_key:
            self._registry.providers[model.provider].trouble = None

    def failed(self, model: Model, failure: UpstreamFailure) -> Verdict:
        """Note a failure; says what it means for the call."""
        if not model.own_key:
            self._registry.providers[model.provider].note(
                trouble_of(failure.status, failure.code), answered=failure.status is not None
            )
        health = self.health(model)
        verdict = Verdict.SKIPPED if failure.skipped else verdict_of(failure.status)
        if verdict is Verdict.PROVIDER:
            health.failed(now_ms())
        elif verdict is Verdict.LIMITED:
            after = failure.retry_after_s
            health.limited(now_ms(), None if after is None else after * 1_000)
        else:
            health.neutral()
        return verdict
