"""What providers offer: models with a price, and those that cannot be sold for want of one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from domain.catalog import NO_FACTS, PLAIN, IdRules, ModelFacts, canonical_id
from domain.images.models import rule_of, stated_rule
from domain.overload.upstream import Concurrency
from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from providers.inference.registry.built_in import Reranks
from providers.inference.registry.paced import paced
from providers.inference.registry.thoughts import DETAILS, EVERYTHING, USUAL
from providers.inference.registry.trouble import Trouble, TroubleKind

if TYPE_CHECKING:
    from domain.images.models import MediaRule
    from providers.inference.port import Upstream
    from providers.inference.registry.own_keys import KeyedUpstreams
    from providers.inference.registry.thoughts import Taken

MODELS_MAX = 20_000
ANY_NUMBER = Concurrency()
CREATED = 1_767_225_600
"""2026-01-01, for models of which nobody says when they were made (Unix time, seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model at one provider. `id` is the provider's own; lengths are in tokens."""

    id: str
    provider: str
    price: PriceVersion
    context_length: int | None = None
    max_output_tokens: int | None = None
    created: int = CREATED
    canonical: str = ""
    facts: ModelFacts = NO_FACTS
    own_key: str = ""
    """The id of the customer's own key that it is asked with; empty for the house's."""
    full_price: PriceVersion | None = None
    """What its provider asks, where `price` is a share of that."""

    @property
    def public_id(self) -> str:
        """The id that pins a call to this provider."""
        return f"{self.provider}/{self.id}"

    @property
    def media(self) -> MediaRule:
        """What an image or a document of a prompt can be here, in tokens."""
        facts = self.facts
        known = rule_of(facts.images_as or self.canonical or self.id)
        return stated_rule(known, facts.image_tokens_max, facts.document_tokens_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of a provider's own list: facts, and price terms where any are known."""

    id: str
    facts: ModelFacts
    terms: dict[str, str] | None = None
    source: str = ""
    effective_at: str = ""
    """Since when the price counts; empty where that is not known yet."""
    raw: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """What a list says that a provider offers; see the members of Provider."""

    listed: dict[str, Model] = field(default_factory=dict)
    cheapest: dict[str, Model] = field(default_factory=dict)
    unpriced: dict[str, Listed] = field(default_factory=dict)
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Provider:
    """One provider: how to reach it and what it offers, by the provider's own model id."""

    name: str
    base_url: str
    upstream: Upstream
    keyed: KeyedUpstreams | None = None
    """The same for customers' own keys; None where it takes none."""
    models: dict[str, Model] = field(default_factory=dict)
    """Models of the providers file; they stay whatever the provider's own list says."""
    listed: dict[str, Model] = field(default_factory=dict)
    cheapest: dict[str, Model] = field(default_factory=dict)
    """The listed models by canonical id; of several routes to one the cheapest."""
    unpriced: dict[str, Listed] = field(default_factory=dict)
    """Models of the provider's list that nobody has a price for."""
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The entries of the list as the provider wrote them."""
    rules: IdRules = PLAIN
    stale: bool = False
    """Whether its list is too old to be trusted (P10)."""
    list_headers: tuple[tuple[str, str], ...] = ()
    """Headers for asking for the list: the key, and what the provider wants besides."""
    secrets: set[str] = field(default_factory=set)
    """Keys and tokens that go to the provider, and to nobody else however it quotes them."""
    drops: tuple[str, ...] = ()
    """Members of a body that it rejects."""
    concurrency: Concurrency = ANY_NUMBER
    """How many calls of a process it gets at once."""
    allow_unpriced: frozenset[str] = frozenset()
    """Extras without a price that the operator lets pass, and pays."""
    needs_max_tokens: bool = False
    trouble: Trouble | None = None
    """What keeps this process from using it, as far as its last answers say."""
    own_routing: bool = False
    """Whether `provider` and `models` in a body mean something to it as well."""
    takes_messages: bool = False
    """Whether it speaks Anthropic's API, so that Messages reach it as they are."""
    takes_responses: bool = False
    """Whether it speaks OpenAI's Responses API, so that they reach it as they are."""
    signs_calls: bool = False
    """Whether it signs calls of tools and wants the signatures back, as Gemini does."""
    thoughts: Taken | None = None
    """Which thoughts of earlier turns it takes back, where what it speaks does not say so."""
    rerank: Reranks = Reranks.COHERE
    """In whose form it is asked to rank documents."""
    speech_events: bool = False
    """Whether audio of a model that is paid by tokens comes in events, which tell the usage."""
    realtime: bool = False
    """Whether it has realtime sessions, as OpenAI's Realtime API has them."""
    completions: tuple[str, ...] = ()
    """How the ids begin of models that it completes a bare prompt with; "" is all of them."""
    forms: dict[str, str] = field(default_factory=dict)
    """Other ways to write the ids of the list: lower case, without prefix, without route."""

    @property
    def list_name(self) -> str:
        """The name of its list in the cache that gateways share."""
        return f"models:{self.name}:{self.base_url}"

    @property
    def takes_details(self) -> bool:
        """Whether it takes signed thoughts back, in chat's form as `reasoning_details`."""
        return DETAILS in self.taken_thoughts

    @property
    def taken_thoughts(self) -> Taken:
        """Which thoughts of earlier turns it is sent in a chat."""
        if self.thoughts is not None:
            return self.thoughts
        everything = self.own_routing or self.takes_messages or self.signs_calls
        return EVERYTHING if everything else USUAL

    def note(self, trouble: Trouble | None, *, answered: bool) -> None:
        """Note what an attempt or a fetch that failed says; any answer ends unreachability."""
        if trouble is not None:
            self.trouble = trouble
        elif answered and self.trouble is not None and self.trouble.kind is TroubleKind.UNREACHABLE:
            self.trouble = None

    def takes_completions(self, model_id: str) -> bool:
        """Whether one of its models completes a bare prompt, so that completions pass."""
        return model_id.startswith(self.completions)

    def find(self, model_id: str) -> Model | None:
        """A model by the provider's id, or another way to write it."""
        found = self.models.get(model_id) or self.listed.get(model_id)
        if found is None:
            own = self.forms.get(model_id.lower()) or self.rules.prefix + model_id
            found = self.models.get(own) or self.listed.get(own)
        return found

    def offered(self, items: list[Listed], effective_at: str) -> Offered:
        """What a list says, priced; long work, on a thread. Raises InvalidPriceError."""
        found = Offered()
        for item in paced(items[:MODELS_MAX]):
            if item.raw is not None:
                found.raw[item.id] = item.raw
            if item.terms is None:
                found.unpriced[item.id] = item
                continue
            model = offer(self.name, item, self.rules, item.effective_at or effective_at)
            known = self.listed.get(item.id)
            if known is not None and known.price.version == model.price.version:
                model = replace(model, price=known.price)  # It counts since it was first seen.
            found.listed[item.id] = model
            _add_forms(found.forms, model, found.listed, self.rules)
            other = found.cheapest.get(model.canonical)
            if other is None or cheaper(model, other):
                found.cheapest[model.canonical] = model
        return found

    def take(self, found: Offered) -> None:
        """Offer that from now on, all of it at once."""
        self.listed, self.cheapest, self.unpriced = found.listed, found.cheapest, found.unpriced
        self.raw, self.forms, self.stale = found.raw, found.forms, False

    def take_list(self, items: list[Listed], effective_at: str) -> None:
        """Both, for a short list."""
        self.take(self.offered(items, effective_at))

    def canonical_of(self, model_id: str) -> str:
        """The canonical id of one of its models."""
        return canonical_id(model_id, self.rules)

    def drop_list(self) -> None:
        """The list is too old: what it says is offered no longer (P10)."""
        self.listed, self.cheapest, self.forms, self.stale = {}, {}, {}, True


def _add_forms(
    forms: dict[str, str], model: Model, listed: dict[str, Model], rules: IdRules
) -> None:
    """Remember how else an id may be written; of several routes the cheapest is meant."""
    short = model.id.removeprefix(rules.prefix).lower()
    names = {short, model.id.lower(), model.canonical}
    if rules.points_as_p:
        names.add(model.canonical.rpartition("/")[2])
    if rules.route_suffix:
        names.add(short.partition(":")[0])
    if rules.route_prefix:
        names.add(short.partition(":")[2])
    for name in names:
        known = listed.get(forms.get(name, ""))
        if known is None or cheaper(model, known):
            forms[name] = model.id


def cheaper(model: Model, other: Model) -> bool:
    """Whether a million tokens each way cost less."""
    return price_rank(model) < price_rank(other)


def price_rank(model: Model) -> int:
    """What a thousand tokens each way and the like cost, nano-USD: for ordering."""
    return model.price.bound(
        input_tokens=1_000,
        output_tokens=1_000,
        images=1,
        image_pixels=1_048_576,
        searches=1,
        characters=1_000,
    )


def offer(provider: str, item: Listed, rules: IdRules, effective_at: str) -> Model:
    """A listed model as an offer; raises InvalidPriceError."""
    facts = item.facts
    return Model(
        id=item.id,
        provider=provider,
        price=price_version(
            provider,
            item.id,
            PriceTerms.parse(item.terms or {}),
            source=item.source,
            effective_at=effective_at,
        ),
        context_length=facts.context_length,
        max_output_tokens=facts.max_output_tokens,
        created=facts.created or CREATED,
        canonical=canonical_id(item.id, rules),
        facts=facts,
    )


def price_version(
    provider: str, model_id: str, terms: PriceTerms, *, source: str, effective_at: str
) -> PriceVersion:
    """A version named by its own content, so that the same price has the same name for ever."""
    return PriceVersion(
        version=version_of(provider, model_id, source, terms.as_strings()),
        source=source,
        effective_at=effective_at,
        terms=terms,
    )
