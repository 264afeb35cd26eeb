"""Which models judge: told by their output, or by their name where a list says no more.

OpenAI's and Mistral's lists tell nothing of a model but its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import bad_request

if TYPE_CHECKING:
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model

MODERATION, SCORE = "moderation", "score"
"""What such a model's `output_modalities` hold."""
RERANK = "rerank"


def moderates(offer: Model) -> bool:
    """Whether a model gives verdicts."""
    return MODERATION in offer.facts.output_modalities or MODERATION in offer.id.lower()


def ranks(offer: Model) -> bool:
    """Whether a model ranks documents; whose searches have a price does."""
    return (
        SCORE in offer.facts.output_modalities
        or offer.price.counts_searches
        or RERANK in offer.id.lower()
    )


def of_another_kind(offer: Model, route: str, modality: str) -> ApiError:
    """The refusal of a model that does something else."""
    message = (
        f"{offer.public_id!r} makes {' and '.join(offer.facts.output_modalities)}: {route} wants a "
        f"model whose output is {modality}. GET /v1/models/search?modality={modality} finds them."
    )
    return bad_request("model_of_another_kind", message, "model")
