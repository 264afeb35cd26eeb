"""Providers' lists, each as its own documents or real traffic show it, brought to one shape.

Hand-written from the providers' documentation, but for Fireworks and Cerebras, whose lists were
recorded; those are plain.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.inference.lists.forms import FORMS
from providers.inference.lists.listings import read_list
from tests.providers.inference.lists.examples import LIST

ROWS: list[tuple[str, Any, dict[str, dict[str, str] | None]]] = [
    (
        "chutes",
        {"data": [{"id": "a", "pricing": {"prompt": 0.1, "completion": 0.3}}]},
        {"a": {"input_per_million": "0.1", "output_per_million": "0.3"}},
    ),
    (
        "deepinfra",
        [
            {
                "model_name": "a",
                "max_tokens": 4096,
                "pricing": {
                    "type": "tokens",
                    "cents_per_input_token": 0.000013,
                    "cents_per_output_token": 3.9e-05,
                },
            },
            {"model_name": "slow", "pricing": {"type": "time", "cents_per_sec": 0.05}},
        ],
        {"a": {"input_per_million": "0.13", "output_per_million": "0.39"}, "slow": None},
    ),
    (
        "together",
        [
            {"id": "a", "type": "chat", "pricing": {"input": 0.88, "output": 0.88, "base": 0}},
            {"id": "img", "type": "image", "pricing": {"input": 0, "output": 0}},
        ],
        {"a": {"input_per_million": "0.88", "output_per_million": "0.88"}, "img": None},
    ),
    (
        "huggingface",
        {
            "data": [
                {
                    "id": "org/a",
                    "providers": [
                        {"provider": "x", "status": "live", "pricing": {"input": 1, "output": 2}},
                        {"provider": "y", "status": "live"},
                        {"provider": "z", "status": "error", "pricing": {"input": 1, "output": 1}},
                    ],
                }
            ]
        },
        {
            "org/a:x": {"input_per_million": "1", "output_per_million": "2"},
            "org/a:y": None,
        },
    ),
    (
        "xai",
        {
            "models": [
                {
                    "id": "grok-3",
                    "aliases": ["grok-3-latest"],
                    "prompt_text_token_price": 30000,
                    "cached_prompt_text_token_price": 7500,
                    "completion_text_token_price": 150000,
                }
            ]
        },
        {
            name: {
                "input_per_million": "3",
                "output_per_million": "15",
                "cached_input_per_million": "0.75",
            }
            for name in ("grok-3", "grok-3-latest")
        },
    ),
    (
        "near",
        {
            "models": [
                {
                    "modelId": "deepseek-ai/DeepSeek-V3.1",
                    "inputCostPerToken": {"amount": 850, "scale": 9, "currency": "USD"},
                    "outputCostPerToken": {"amount": 25, "scale": 7, "currency": "USD"},
                    "metadata": {"contextLength": 128000},
                }
            ]
        },
        {
            "deepseek-ai/DeepSeek-V3.1": {
                "input_per_million": "0.85",
                "output_per_million": "2.5",
            }
        },
    ),
    (
        "aihubmix",
        {
            "data": [
                {"model_id": "a", "pricing": {"input": 2, "output": 8, "cache_read": 0.5}},
            ],
            "success": True,
        },
        {
            "a": {
                "input_per_million": "2",
                "output_per_million": "8",
                "cached_input_per_million": "0.5",
            }
        },
    ),
    (
        "vercel",
        {
            "data": [
                {
                    "id": "google/gemini-2.5-pro",
                    "pricing": {
                        "input": "0.00000125",
                        "input_tiers": [
                            {"cost": "0.00000125", "min": 0, "max": 200001},
                            {"cost": "0.0000025", "min": 200001},
                        ],
                        "output": "0.00001",
                        "output_tiers": [{"cost": "0.000015", "min": 200001}],
                    },
                }
            ]
        },
        {
            "google/gemini-2.5-pro": {
                "input_per_million": "1.25",
                "input_per_million_above_200000": "2.5",
                "output_per_million": "10",
                "output_per_million_above_200000": "15",
            }
        },
    ),
    (
        "aimo",
        {
            "data": [
                {
                    "id": "m",
                    "providers": [
                        {"id": "PUB", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}
                    ],
                }
            ]
        },
        {"PUB:m": {"input_per_million": "1", "output_per_million": "2"}},
    ),
    ("plain", {"data": [{"id": "a", "created": 5}]}, {"a": None}),
    ("plain", [{"id": "a"}, {"object": "no id"}, "odd"], {"a": None}),
]


@pytest.mark.parametrize(("form", "body", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_lists(form: str, body: Any, expected: dict[str, dict[str, str] | None]) -> None:
    """Each line: a form, a list, each model's terms in USD per million (P4, rule: translation)."""
    found = read_list(FORMS[form], json.dumps(body).encode())
    assert {each.id: each.terms for each in found} == expected


def test_facts_are_found_under_the_names_that_lists_use() -> None:
    """Context, output, modalities, as each list writes them (rule: translation)."""
    body = {
        "data": [
            {
                "id": "a",
                "display_name": "A",
                "max_model_len": 1_000,
                "max_output_length": "500",
                "architecture": {"input_modalities": ["text", "image"]},
            },
            {"id": "e", "type": "embedding", "context_length": 10.0},
        ]
    }
    first, second = read_list(FORMS["plain"], json.dumps(body).encode())
    assert (first.facts.name, first.facts.context_length) == ("A", 1_000)
    assert first.facts.max_output_tokens == 500
    assert first.facts.modality == "text+image->text"
    assert (second.facts.output_modalities, second.facts.context_length) == (("embedding",), 10)


@pytest.mark.parametrize("raw", [b"{}", b'{"data":{}}', b"7", b"not json"])
def test_another_shape_is_an_error(raw: bytes) -> None:
    """Never a guess; the old list is kept (P10)."""
    with pytest.raises(msgspec.DecodeError):
        read_list(FORMS["plain"], raw)


def test_a_model_list_is_read_exactly() -> None:
    """Strings of USD a token become decimals a million; what has no fixed price stays out (P4)."""
    found = {each.id: each for each in read_list(FORMS["openrouter"], json.dumps(LIST).encode())}
    priced = {name for name, each in found.items() if each.terms is not None}
    assert priced == {"org/model", "free/model"}
    assert set(found) - priced == {"openrouter/auto", "no/price"}
    assert found["org/model"].terms == {
        "input_per_million": "0.15",
        "output_per_million": "0.6",
        "cached_input_per_million": "0.075",
        "per_request": "0.01",
    }
    assert found["org/model"].facts.max_output_tokens == 4096
    assert found["free/model"].terms == {"input_per_million": "0", "output_per_million": "0"}
