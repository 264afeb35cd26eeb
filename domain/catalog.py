"""What a model is called, and what is told of it, whoever serves it. Pure.

A model has one canonical id, `organisation/name` in lower case, under which the offers of all
providers stand together. Providers write the same id in several ways; the rules that bring them
together are data here and in the provider's registry entry. An id that no rule knows keeps its
own form, so that two models are never taken for one.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from domain.events.catalog import ListConfirmed, ModelDelisted, ModelListed, PricePublished

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event
    from domain.events.catalog import CatalogEvent

ORGANISATIONS: dict[str, str] = {
    "xai": "x-ai",
    "meta": "meta-llama",
    "deepseek-ai": "deepseek",
    "mistral": "mistralai",
    "moonshot": "moonshotai",
    "zai": "z-ai",
    "zai-org": "z-ai",
    "thudm": "z-ai",
    "alibaba": "qwen",
    "minimaxai": "minimax",
    "cohereforai": "cohere",
    "nvidia-nim": "nvidia",
    "black-forest-labs": "bfl",
}
"""Other names of the organisations behind models."""

FAMILIES: tuple[tuple[str, str], ...] = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-3", "openai"),
    ("text-embedding-ada", "openai"),
    ("dall-e", "openai"),
    ("whisper", "openai"),
    ("claude", "anthropic"),
    ("gemini", "google"),
    ("gemma", "google"),
    ("imagen", "google"),
    ("grok", "x-ai"),
    ("llama", "meta-llama"),
    ("qwen", "qwen"),
    ("qwq", "qwen"),
    ("deepseek", "deepseek"),
    ("mistral", "mistralai"),
    ("mixtral", "mistralai"),
    ("codestral", "mistralai"),
    ("ministral", "mistralai"),
    ("kimi", "moonshotai"),
    ("glm", "z-ai"),
    ("minimax", "minimax"),
    ("command", "cohere"),
    ("flux", "bfl"),
)
"""The organisation of names that come without one, by how they begin."""

SYNONYMS: dict[str, str] = {
    "meta-llama/llama3.1-8b": "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/llama-3.1-8b-instant": "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/llama-3.1-8b-instruct-turbo": "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/meta-llama-3.1-8b-instruct": "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/meta-llama-3.1-8b-instruct-turbo": "meta-llama/llama-3.1-8b-instruct",
    "meta-llama/meta-llama-3.1-70b-instruct": "meta-llama/llama-3.1-70b-instruct",
    "meta-llama/meta-llama-3.1-70b-instruct-turbo": "meta-llama/llama-3.1-70b-instruct",
    "meta-llama/meta-llama-3.1-405b-instruct": "meta-llama/llama-3.1-405b-instruct",
    "meta-llama/llama-3.3-70b": "meta-llama/llama-3.3-70b-instruct",
    "meta-llama/llama-3.3-70b-versatile": "meta-llama/llama-3.3-70b-instruct",
    "meta-llama/llama-3.3-70b-instruct-turbo": "meta-llama/llama-3.3-70b-instruct",
}
"""Names of one model that no rule brings together."""

DESCRIPTION_CHARACTERS_MAX = 1_000
_POINTS = re.compile(r"(?<=\d)p(?=\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRules:
    """How a provider writes model ids.

    `prefix` stands before all of them; `organisation` is meant where none is written;
    `points_as_p` says that `3p1` means 3.1; `route_suffix` and `route_prefix` say that what
    follows or precedes a colon names a route and not another model.
    """

    prefix: str = ""
    organisation: str = ""
    points_as_p: bool = False
    route_suffix: bool = False
    route_prefix: bool = False


PLAIN = IdRules()
"""Ids as they come."""


def canonical_id(model_id: str, rules: IdRules) -> str:
    """The id under which all offers of the model stand together."""
    text = model_id.removeprefix(rules.prefix)
    if rules.route_prefix:
        text = text.partition(":")[2] or text
    if rules.route_suffix:
        text = text.partition(":")[0]
    text = text.lower()
    if rules.points_as_p:
        text = _POINTS.sub(".", text)
    organisation, slash, name = text.rpartition("/")
    if not slash:
        organisation = rules.organisation or _family_of(name)
    organisation = ORGANISATIONS.get(organisation, organisation)
    found = f"{organisation}/{name}" if organisation else name
    return SYNONYMS.get(found, found)


def _family_of(name: str) -> str:
    return next((owner for start, owner in FAMILIES if name.startswith(start)), "")


def canonical_of_request(model: str) -> str:
    """The canonical id of what a caller wrote."""
    return canonical_id(model, PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is told of a model at one provider; lengths are in tokens, `created` is Unix time.

    `images_as` is another model that images and documents are billed like, the two maxima are what
    one of them is billed at most: an operator's words, before the table of `domain.images.models`.
    """

    name: str = ""
    description: str = ""
    created: int = 0
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    supported_parameters: tuple[str, ...] = ()
    tokenizer: str = ""
    hugging_face_id: str = ""
    images_as: str = ""
    image_tokens_max: int | None = None
    document_tokens_max: int | None = None

    @property
    def modality(self) -> str:
        """OpenRouter's short form, such as `text+image->text`."""
        return "+".join(self.input_modalities) + "->" + "+".join(self.output_modalities)

    def as_dict(self) -> dict[str, Any]:
        """For an event: JSON values, those that say something."""
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if value not in (None, "", 0, ()):
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def of(cls, stored: dict[str, Any]) -> ModelFacts:
        """From an event; members that a later version wrote are passed over."""
        known = {item.name for item in fields(cls)}
        members: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
            if name in known
        }
        return cls(**members)


NO_FACTS = ModelFacts()
"""Nothing is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRecord:
    """What the log says of one offer: facts, and the version and terms of its price, if any."""

    canonical_id: str
    facts: dict[str, Any]
    version: str = ""
    source: str = ""
    price: dict[str, str]
    effective_at: str = ""
    """Since when the price counts; empty: since it is told."""


class CatalogState:
    """One provider's catalog as its events tell it."""

    def __init__(self) -> None:
        """Before the first event."""
        self.version = 0
        self.offers: dict[str, OfferRecord] = {}
        self.confirmed_at = ""

    def apply(self, event: Event) -> None:
        """Take an event of the provider's stream."""
        self.version = event.originator_version
        match event:
            case ModelListed():
                known = self.offers.get(event.model)
                self.offers[event.model] = OfferRecord(
                    canonical_id=event.canonical_id,
                    facts=event.facts,
                    version=known.version if known else "",
                    source=known.source if known else "",
                    price=known.price if known else {},
                )
            case ModelDelisted():
                self.offers.pop(event.model, None)
            case PricePublished():
                self.offers[event.model] = replace(
                    self.offers[event.model],
                    version=event.version,
                    source=event.source,
                    price=event.price,
                )
            case ListConfirmed():
                self.confirmed_at = event.effective_at
            case _:
                pass

    def changes(
        self, offers: Mapping[str, OfferRecord]
    ) -> list[tuple[type[CatalogEvent], dict[str, Any]]]:
        """What must be told so that the log says the same as these offers: class and members."""
        found: list[tuple[type[CatalogEvent], dict[str, Any]]] = []
        for model, offer in offers.items():
            known = self.offers.get(model)
            if known is None or (known.canonical_id, known.facts) != (
                offer.canonical_id,
                offer.facts,
            ):
                members = {"canonical_id": offer.canonical_id, "facts": offer.facts}
                found.append((ModelListed, {"model": model, **members}))
            if offer.version != (known.version if known else ""):
                price: dict[str, Any] = {
                    "version": offer.version,
                    "source": offer.source,
                    "price": offer.price,
                }
                if offer.effective_at:
                    price["effective_at"] = offer.effective_at
                found.append((PricePublished, {"model": model, **price}))
        gone = [model for model in self.offers if model not in offers]
        return found + [(ModelDelisted, {"model": model}) for model in gone]
