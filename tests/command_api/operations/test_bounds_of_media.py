"""What bodies of embeddings and images bound, and how their answers are counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from command_api.operations.embeddings import EmbeddingsRequest, parse_embeddings
from command_api.operations.images import (
    IMAGE_PIXELS_DEFAULT,
    ImagesRequest,
    parse_images,
)
from command_api.settings import Settings
from domain.catalog import PLAIN, ModelFacts
from domain.images.made import NAMED_TOKENS_MAX
from domain.ledger.holds import CallBound
from domain.pricing.usage import Usage
from edge.errors import ApiError
from providers.inference.registry.offers import Listed, Model, offer

SETTINGS = Settings()


def model_of(context: int | None = None) -> Model:
    """A model with a price."""
    terms = {"input_per_million": "1", "output_per_million": "0"}
    facts = ModelFacts(context_length=context)
    return offer("p", Listed(id="m", facts=facts, terms=terms), PLAIN, "now")


def embeddings(given: Any, **more: Any) -> EmbeddingsRequest:
    """A checked request."""
    return parse_embeddings(
        msgspec.json.encode({"model": "m", "input": given, **more}), SETTINGS.requests
    )


def images(prompt: str = "A cat", **more: Any) -> ImagesRequest:
    """A checked request."""
    return parse_images(
        msgspec.json.encode({"model": "m", "prompt": prompt, **more}), SETTINGS.requests
    )


INPUTS: list[tuple[Any, int | None, int, int]] = [
    ("four", None, 10, 1),
    ("世界", None, 11, 2),
    (["four", "four"], None, 20, 2),
    ([7, 8, 9], None, 3, 3),
    ([[7, 8], [9]], None, 3, 3),
    (["x" * 100, "x" * 100], 20, 40, 50),
    ([[1] * 50, [1]], 20, 21, 51),
]


@pytest.mark.parametrize(("given", "context", "bound", "own_count"), INPUTS)
def test_each_input_is_a_prompt_of_its_own(
    given: Any, context: int | None, bound: int, own_count: int
) -> None:
    """Each is cut off at the context; there is no output (money rule 2, money rule 6)."""
    request = embeddings(given)
    assert request.bound(model_of(context), SETTINGS.holds) == CallBound(input_tokens=bound)
    assert request.estimated(9) == Usage(own_count, 0, source="estimated")
    assert request.counted(Usage(5, 0), b"") == Usage(5, 0)


REFUSED_EMBEDDINGS: list[tuple[dict[str, Any], str]] = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": [[1.5]]}, "input"),
    ({"input": [1, "text"]}, "input"),
    ({"input": [[True]]}, "input"),
    ({"input": ["x"] * (SETTINGS.requests.embedding_inputs_max + 1)}, "input"),
    ({"encoding_format": "hex"}, "encoding_format"),
    ({"dimensions": 0}, "dimensions"),
    ({"dimensions": SETTINGS.requests.embedding_dimensions_max + 1}, "dimensions"),
]


SIZES: list[tuple[dict[str, Any], int, int]] = [
    ({}, 1, IMAGE_PIXELS_DEFAULT),
    ({"n": 3}, 3, 3 * IMAGE_PIXELS_DEFAULT),
    ({"size": "512x256"}, 1, 512 * 256),
    ({"size": "0512x256"}, 1, 512 * 256),
    ({"n": 2, "size": "512x256"}, 2, 2 * 512 * 256),
    ({"size": "auto"}, 1, IMAGE_PIXELS_DEFAULT),
    ({"size": None}, 1, IMAGE_PIXELS_DEFAULT),
]


@pytest.mark.parametrize(("more", "count", "pixels"), SIZES)
def test_images_are_bound_by_number_pixels_and_tokens(
    more: dict[str, Any], count: int, pixels: int
) -> None:
    """Whichever of them a price has a term for (money rule 2)."""
    assert images(**more).bound(model_of(), SETTINGS.holds) == CallBound(
        input_tokens=11,
        output_tokens=count * NAMED_TOKENS_MAX,
        images=count,
        image_pixels=pixels,
    )


MADE: list[tuple[list[dict[str, Any]], int]] = [
    ([{"url": "u"}], 512 * 256),
    ([{"width": 10, "height": 20}], 200),
    ([{"width": 10, "height": 20}, {"url": "u"}], 200 + 512 * 256),
    ([{"width": 10}], 512 * 256),
    ([{"width": 0, "height": 20}], 512 * 256),
    ([{"width": -10, "height": 20}], 512 * 256),
    ([{"width": -10, "height": -20}], 512 * 256),
]


@pytest.mark.parametrize(("data", "pixels"), MADE)
def test_images_are_counted_at_a_size_that_can_be(data: list[dict[str, Any]], pixels: int) -> None:
    """The provider's size, else the one asked for; no charge is negative (P1, money rule 6)."""
    raw = msgspec.json.encode({"data": data})
    counted = images(size="512x256", n=2).counted(Usage(3, 4), raw)
    assert counted == Usage(3, 4, images=len(data), image_pixels=pixels)


REFUSED_IMAGES: list[tuple[dict[str, Any], str]] = [
    ({"prompt": " "}, "prompt"),
    ({"n": 0}, "n"),
    ({"n": SETTINGS.requests.images_max + 1}, "n"),
    ({"stream": "yes"}, "stream"),
    ({"stream": True, "n": 2}, "n"),
    ({"stream": True, "partial_images": 4}, "partial_images"),
    ({"stream": True, "partial_images": -1}, "partial_images"),
    ({"stream": True, "partial_images": 1.5}, "partial_images"),
    ({"partial_images": 1}, "partial_images"),
    ({"size": "0x0"}, "size"),
    ({"size": "512x0"}, "size"),
    ({"size": "00x512"}, "size"),
    ({"size": "-1x512"}, "size"),
    ({"size": "123456x1"}, "size"),
    ({"size": "512x512x512"}, "size"),
    ({"size": "٠x٠"}, "size"),
]


@pytest.mark.parametrize(
    ("parse", "whole", "more", "param"),
    [
        *[(parse_embeddings, {"input": "x"}, *row) for row in REFUSED_EMBEDDINGS],
        *[(parse_images, {"prompt": "x"}, *row) for row in REFUSED_IMAGES],
    ],
)
def test_what_cannot_be_bounded_is_refused(
    parse: Any, whole: dict[str, Any], more: dict[str, Any], param: str
) -> None:
    """A picture without pixels would be free (P10, P2)."""
    with pytest.raises(ApiError) as refusal:
        parse(msgspec.json.encode({"model": "m", **whole, **more}), SETTINGS.requests)
    assert (refusal.value.status, refusal.value.param) == (400, param)


def test_nobody_pays_for_more_images_than_were_asked_for() -> None:
    """The hold covered those (P1, money rule 2)."""
    raw = msgspec.json.encode({"data": [{}] * 5})
    assert images(n=2).counted(Usage(3, 4), raw).images == 2
