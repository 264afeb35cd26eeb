"""Which providers there are, which models they offer, and who answers to a model id.

Filled by `load_registry`. A model without a price is never offered (P10).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from domain.catalog import canonical_of_request
from domain.routing.order import Policy
from providers.inference.adapters.http1.pool import ConnectionRoom
from providers.inference.registry.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.inference.registry.offers import Listed, Model, Provider

RESOLVED_MAX = 10_000
"""Most ids of callers whose meaning is remembered."""


class Registry:
    """All providers of this process, and the look-up of models."""

    def __init__(self) -> None:
        """Empty; `load_registry` fills it."""
        self.providers: dict[str, Provider] = {}
        self.room = ConnectionRoom()
        """For the connections of all of them."""
        self.unconfigured: list[str] = []
        """Built-in providers without a key: listed, and never routed to."""
        self.aliases: dict[str, str] = {}
        self.policy = Policy()
        self.policies: dict[str, Policy] = {}
        self.revision = 0
        """Grows whenever the offers change."""
        self._by_canonical: dict[str, list[Model]] | None = None
        self._resolved: dict[str, list[Model]] = {}
        self._names: dict[str, ModelName] = {}
        """The ids of `_resolved`, read."""

    def resolve(self, model: str) -> Model | None:
        """The first offer a caller's model id means."""
        found = self.offers(model)
        return found[0] if found else None

    def offers(self, model: str) -> list[Model]:
        """Every offer a caller's model id means, in the order of the providers.

        A first segment that is a provider's name pins the call to it, before any alias;
        otherwise the id, or the canonical id it stands for, is looked for at each provider.
        """
        found = self._resolved.get(model)
        if found is None:
            found = self._look_up(model)
            if not found:
                return found  # Of what nobody offers there is no end.
            if len(self._resolved) >= RESOLVED_MAX:
                self._forget()
            self._resolved[model] = found
            self._names[model] = ModelName.read(model, self.providers)
        return found

    def _look_up(self, model: str) -> list[Model]:
        name = self.name_of(model)
        if name.provider is None:
            model = self.aliases.get(model, model)
            name = self.name_of(model)
        if name.provider is not None:
            found = self.providers[name.provider].find(name.id)
            return [found] if found else []
        exact = [each for p in self.providers.values() if (each := p.models.get(model)) is not None]
        exact += [
            each
            for p in self.providers.values()
            if model not in p.models and (each := p.listed.get(model)) is not None
        ]
        known = {each.public_id for each in exact}
        others = self.canonical().get(canonical_of_request(model), ())
        order = {name: place for place, name in enumerate(self.providers)}
        found_all = exact + [each for each in others if each.public_id not in known]
        return sorted(found_all, key=lambda each: order[each.provider])

    def name_of(self, model: str) -> ModelName:
        """A caller's model id, read: whether it names the provider that must serve it."""
        return self._names.get(model) or ModelName.read(model, self.providers)

    def policy_of(self, model: str) -> Policy:
        """The operator's policy for what a caller wrote."""
        if not self.policies:
            return self.policy
        found = self.policies.get(model) or self.policies.get(canonical_of_request(model))
        return found or self.policy

    def models(self) -> list[Model]:
        """Every offer, sorted by public id."""
        offers = {
            model.public_id: model
            for provider in self.providers.values()
            for model in (*provider.listed.values(), *provider.models.values())
        }
        return [offers[key] for key in sorted(offers)]

    def canonical(self) -> dict[str, list[Model]]:
        """All offers by the canonical id of their model."""
        if self._by_canonical is None:
            self._by_canonical = _grouped(self.providers.values())
        return self._by_canonical

    def reindex(self) -> None:
        """A provider's list was replaced: forget what was worked out from it."""
        self.revision += 1
        self._by_canonical = None
        self._forget()

    def _forget(self) -> None:
        self._resolved.clear()
        self._names.clear()

    def stale_provider(self, model: str) -> str | None:
        """The provider whose list is too old to say whether it offers this model."""
        pinned = self.name_of(model).provider
        if pinned is not None:
            return pinned if self.providers[pinned].stale else None
        return next((name for name, each in self.providers.items() if each.stale), None)

    def unpriced(self, model: str) -> tuple[Provider, Listed] | None:
        """Who lists a model without a price, and how, when nobody offers it with one."""
        name = self.name_of(model)
        asked = (
            self.providers.values() if name.provider is None else (self.providers[name.provider],)
        )
        return next(((p, p.unpriced[name.id]) for p in asked if name.id in p.unpriced), None)

    async def close(self) -> None:
        """Close all upstreams."""
        for provider in self.providers.values():
            await provider.upstream.close()


def _grouped(providers: Iterable[Provider]) -> dict[str, list[Model]]:
    """Offers by canonical id; of several routes at one provider only the cheapest."""
    grouped: defaultdict[str, list[Model]] = defaultdict(list)
    for provider in providers:
        # The operator's own entries come last, and so stay.
        own = provider.cheapest | {each.canonical: each for each in provider.models.values()}
        for model in own.values():
            grouped[model.canonical].append(model)
    return dict(grouped)
