"""Which providers there are, which models they offer, and at what price.

Built-in providers are entries of one table; `GATEWAYZ_PROVIDERS_FILE` (TOML) adds providers,
overrides base URLs, and adds or prices models. A model without a price is never offered (P10).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from domain.catalog import IdRules, ModelFacts, canonical_of_request
from domain.routing import Policy
from providers.inference.adapters.simulator import Simulator
from providers.inference.registry.built_in import BUILT_IN, BY_NAME, NAMES, SIMULATOR, Protocol
from providers.inference.registry.offers import (
    MODELS_MAX,
    Listed,
    Model,
    Provider,
    offer,
    price_rank,
)
from providers.inference.registry.providers_file import (
    FileProvider,
    ProvidersFile,
    ProvidersFileError,
    file_models,
    read_providers_file,
)
from providers.inference.registry.upstreams import Address, make_upstream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.inference.adapters.http_client import ClientLimits
    from providers.inference.registry.built_in import BuiltIn

RESOLVED_MAX = 10_000
"""Most ids of callers whose meaning is remembered."""
BUILT_IN_EFFECTIVE_AT = "2026-01-01T00:00:00.000000Z"


class Registry:
    """All providers of this process, and the look-up of models."""

    def __init__(self) -> None:
        """Empty; `load_registry` fills it."""
        self.providers: dict[str, Provider] = {}
        self.unconfigured: list[str] = []
        """Built-in providers without a key: listed, and never routed to."""
        self.aliases: dict[str, str] = {}
        self.policy = Policy()
        self.policies: dict[str, Policy] = {}
        self.revision = 0
        """Grows whenever the offers change."""
        self._by_canonical: dict[str, list[Model]] | None = None
        self._resolved: dict[str, list[Model]] = {}

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
            if len(self._resolved) >= RESOLVED_MAX:
                self._resolved.clear()
            self._resolved[model] = found
        return found

    def _look_up(self, model: str) -> list[Model]:
        if self.pins(model):
            head, _, rest = model.partition("/")
            found = self.providers[head].find(rest)
            return [found] if found else []
        model = self.aliases.get(model, model)
        if self.pins(model):
            return self._look_up(model)
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

    def pins(self, model: str) -> bool:
        """Whether an id names the provider that must serve it."""
        head, slash, _ = model.partition("/")
        return bool(slash) and head in self.providers

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
        self._resolved.clear()

    def stale_provider(self, model: str) -> str | None:
        """The provider whose list is too old to say whether it offers this model."""
        head, slash, _ = model.partition("/")
        if slash and head in self.providers:
            return head if self.providers[head].stale else None
        return next((name for name, each in self.providers.items() if each.stale), None)

    def unpriced(self, model: str) -> str | None:
        """The provider that lists a model without a price, when nobody offers it with one."""
        head, slash, rest = model.partition("/")
        if slash and head in self.providers:
            return head if rest in self.providers[head].unpriced else None
        return next((n for n, each in self.providers.items() if model in each.unpriced), None)

    async def close(self) -> None:
        """Close all upstreams."""
        for provider in self.providers.values():
            await provider.upstream.close()


def _grouped(providers: Iterable[Provider]) -> dict[str, list[Model]]:
    """Offers by canonical id; of several routes at one provider only the cheapest."""
    grouped: defaultdict[str, list[Model]] = defaultdict(list)
    for provider in providers:
        own: dict[str, Model] = {}
        # The operator's own entries come last, and so stay.
        for models in (provider.listed, provider.models):
            for model in models.values():
                known = own.get(model.canonical)
                mine = models is provider.models
                if known is None or mine or price_rank(model) < price_rank(known):
                    own[model.canonical] = model
        for model in own.values():
            grouped[model.canonical].append(model)
    return dict(grouped)


def _simulator() -> Provider:
    item = Listed(
        id="echo",
        facts=ModelFacts(
            name="Echo",
            context_length=128_000,
            max_output_tokens=100_000,
            description="Answers without any provider's key.",
        ),
        terms={"input_per_million": "0.15", "output_per_million": "0.60"},
        source="built_in",
    )
    embedding = Listed(
        id="embed",
        facts=ModelFacts(name="Embed", context_length=8_192, output_modalities=("embedding",)),
        terms={"input_per_million": "0.02", "output_per_million": "0"},
        source="built_in",
    )
    image = Listed(
        id="paint",
        facts=ModelFacts(name="Paint", output_modalities=("image",)),
        terms={"per_image": "0.01"},
        source="built_in",
    )
    models = {
        each.id: offer(SIMULATOR, each, IdRules(organisation=SIMULATOR), BUILT_IN_EFFECTIVE_AT)
        for each in (item, embedding, image)
    }
    return Provider(name=SIMULATOR, base_url="", upstream=Simulator(), models=models)


def load_registry(
    *,
    environment: Mapping[str, str],
    providers_file: Path | None,
    effective_at: str,
    limits: ClientLimits,
) -> Registry:
    """Build the registry from the built-in table, the environment and the providers file.

    A built-in provider without a key is unconfigured and left out. Raises ProvidersFileError.
    """
    registry = Registry()
    parsed = read_providers_file(providers_file) if providers_file else ProvidersFile()
    entries = list(parsed.provider)
    in_file = {entry.name for entry in entries}
    entries += [
        FileProvider(name=built_in.name)
        for built_in in BUILT_IN
        if built_in.name not in in_file and _configured(built_in, environment)
    ]
    for entry in entries:
        if entry.name == SIMULATOR:
            provider = _simulator()
        else:
            provider = _provider(entry, environment, limits, providers_file)
        for item in file_models(entry, providers_file or Path()):
            provider.models[item.id] = offer(entry.name, item, provider.rules, effective_at)
        if len(provider.models) > MODELS_MAX:
            message = f"{providers_file}: provider {entry.name!r} has over {MODELS_MAX} models"
            raise ProvidersFileError(message)
        registry.providers[entry.name] = provider
    registry.providers.setdefault(SIMULATOR, _simulator())
    registry.unconfigured = sorted(NAMES - set(registry.providers))
    registry.aliases = parsed.aliases
    if parsed.routing:
        registry.policy = parsed.routing.as_policy()
        registry.policies = {each.id: each.as_policy() for each in parsed.routing.model}
    return registry


def _configured(built_in: BuiltIn, environment: Mapping[str, str]) -> bool:
    if built_in.protocol is Protocol.CATALOG_ONLY:
        return False
    if built_in.protocol is Protocol.GEMINI:
        return bool(environment.get("GOOGLE_PROJECT_ID"))
    return key_of(built_in, environment) is not None


def key_of(built_in: BuiltIn, environment: Mapping[str, str]) -> str | None:
    """The key that the environment gives a built-in provider."""
    names = (built_in.variable("API_KEY"), *built_in.key_env)
    return next((environment[name] for name in names if environment.get(name)), None)


def _provider(
    entry: FileProvider,
    environment: Mapping[str, str],
    limits: ClientLimits,
    path: Path | None,
) -> Provider:
    known = BY_NAME.get(entry.name)
    base_url = entry.base_url
    key = entry.api_key or environment.get(entry.api_key_env or "")
    if known is not None:
        base_url = base_url or environment.get(known.variable("BASE_URL")) or known.base_url
        key = key or key_of(known, environment)
    address = Address(
        name=entry.name,
        base_url=base_url or "",
        api_key=key,
        headers=entry.headers,
        protocol=Protocol(entry.protocol) if entry.protocol else None,
    )
    try:
        made = make_upstream(address, known, environment, limits)
    except ValueError as error:
        message = f"{path}: provider {entry.name!r}: {error}"
        raise ProvidersFileError(message) from None
    anthropic = known is None and address.protocol is Protocol.ANTHROPIC
    return Provider(
        name=entry.name,
        base_url=made.base_url,
        upstream=made.upstream,
        list_headers=tuple(made.headers.items()),
        rules=known.rules if known else IdRules(),
        drops=known.drops if known else (),
        needs_max_tokens=known.needs_max_tokens if known else anthropic,
        own_routing=known.own_routing if known else False,
    )
