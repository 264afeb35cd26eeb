"""Offers as JSON objects: OpenAI's model, with what older clients and OpenRouter's know of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.inference.registry.built_in import BY_NAME
from providers.inference.registry.offers import CREATED

if TYPE_CHECKING:
    from domain.catalog import ModelFacts
    from domain.pricing.terms import PriceTerms
    from providers.inference.registry.offers import Listed, Model

PER_MILLION = Decimal(1_000_000)
PER_THOUSAND = Decimal(1_000)


def per_token(terms: PriceTerms) -> dict[str, str | None]:
    """Prices as OpenRouter writes them: decimal strings in USD, for one of each."""

    def text(value: Decimal | None, unit: Decimal = PER_MILLION) -> str | None:
        return None if value is None else format((value / unit).normalize(), "f")

    told = {
        "prompt": text(terms.input_per_million),
        "completion": text(terms.output_per_million),
        "request": text(terms.per_request or Decimal(0), Decimal(1)),
        "image": text(terms.per_image or terms.per_input_image or Decimal(0), Decimal(1)),
        "web_search": "0",
        "internal_reasoning": text(terms.reasoning_per_million or terms.output_per_million),
        "input_cache_read": text(terms.cached_input_per_million),
        "input_cache_write": text(terms.cache_write_per_million),
    }
    if terms.per_thousand_searches is not None:
        told["search"] = text(terms.per_thousand_searches, PER_THOUSAND)
    if terms.per_million_characters is not None:
        told["character"] = text(terms.per_million_characters)
    return told


def _normalised(
    model_id: str, canonical: str, provider: str, facts: ModelFacts, terms: PriceTerms | None
) -> dict[str, Any]:
    """A model as older clients know it (OpenRouter-like)."""
    entry = BY_NAME.get(provider)
    return {
        "id": model_id,
        "slug": model_id,
        "canonical_slug": canonical,
        "hugging_face_id": facts.hugging_face_id or None,
        "name": facts.name or model_id,
        "created": facts.created or CREATED,
        "description": facts.description,
        "context_length": facts.context_length,
        "architecture": {
            "modality": facts.modality,
            "input_modalities": list(facts.input_modalities),
            "output_modalities": list(facts.output_modalities),
            "tokenizer": facts.tokenizer or None,
            "instruct_type": None,
        },
        "pricing": None if terms is None else per_token(terms),
        "top_provider": {
            "context_length": facts.context_length,
            "max_completion_tokens": facts.max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": list(facts.supported_parameters),
        "default_parameters": None,
        "provider_slug": canonical.partition("/")[0] if "/" in canonical else provider,
        "provider_site_url": entry.site_url if entry else None,
        "model_logo_url": None,
        "source_gateway": provider,
    }


def offer_object(model: Model) -> dict[str, Any]:
    """OpenAI's model object of one offer, with our fields beside its own."""
    return {
        **_normalised(
            model.public_id, model.canonical, model.provider, model.facts, model.price.terms
        ),
        "object": "model",
        "created": model.created,
        "owned_by": model.provider,
        "canonical_id": model.canonical,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "unpriced": False,
        "price": {
            "version": model.price.version,
            "source": model.price.source,
            "effective_at": model.price.effective_at,
            **model.price.terms.as_strings(),
        },
    }


def unpriced_object(provider: str, item: Listed, canonical: str) -> dict[str, Any]:
    """The same for a model that nobody has a price for: it is listed, and calls are refused."""
    public_id = f"{provider}/{item.id}"
    return {
        **_normalised(public_id, canonical, provider, item.facts, None),
        "object": "model",
        "owned_by": provider,
        "canonical_id": canonical,
        "max_output_tokens": item.facts.max_output_tokens,
        "unpriced": True,
        "price": None,
    }
