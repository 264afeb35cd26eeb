"""Providers' lists, each as its own documents or real traffic show it, brought to one shape.

Hand-written from the providers' documentation, but for Fireworks and Cerebras, whose lists were
recorded; those are plain.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from domain.catalog import ModelFacts, canonical_id, canonical_of_request
from providers.inference.adapters.simulator import Simulator
from providers.inference.lists.listings import FORMS, read_list
from providers.inference.lists.price_table import table_context_length, table_terms
from providers.inference.registry.built_in import BUILT_IN, BY_NAME
from providers.inference.registry.offers import Listed, Provider

NOW = datetime(2026, 11, 1, tzinfo=UTC)
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


def test_every_entry_names_a_form_and_a_table_that_exist() -> None:
    """The declarative entries are consistent (rule: tidy)."""
    assert len({each.name for each in BUILT_IN}) == len(BUILT_IN) == 21
    for each in BUILT_IN:
        assert each.list_form in FORMS
        if each.price_table:
            assert table_terms(each.price_table, "no-such-model-at-all", NOW) is None


def test_the_price_table_prices_what_lists_do_not() -> None:
    """With its tiers; what is billed in units we cannot count stays unpriced (P10)."""
    gemini = table_terms("google", "gemini-2.5-pro", NOW)
    assert gemini is not None
    assert gemini["input_per_million_above_200000"] == "2.5"
    assert table_terms("openai", "gpt-4o-mini", NOW) == {
        "input_per_million": "0.15",
        "cached_input_per_million": "0.075",
        "output_per_million": "0.6",
    }
    assert table_terms("groq", "canopylabs/orpheus-arabic-saudi", NOW) is None
    fireworks = "accounts/fireworks/models/deepseek-v3p2"
    assert table_terms("fireworks", fireworks, NOW) is not None
    embedding = table_terms("google", "gemini-embedding-001", NOW)
    assert embedding is not None
    assert embedding["output_per_million"] == "0"
    assert table_context_length("groq", "no-such-model") is None


CANONICAL = [
    ("openai", "gpt-4o", "openai/gpt-4o"),
    ("openrouter", "openai/gpt-4o", "openai/gpt-4o"),
    ("xai", "grok-3", "x-ai/grok-3"),
    ("vercel-ai-gateway", "xai/grok-3", "x-ai/grok-3"),
    ("fireworks", "accounts/fireworks/models/llama-v3p1-8b", "meta-llama/llama-v3.1-8b"),
    ("huggingface", "deepseek-ai/DeepSeek-V3.1:novita", "deepseek/deepseek-v3.1"),
    ("openrouter", "deepseek/deepseek-v3.1", "deepseek/deepseek-v3.1"),
    ("openrouter", "deepseek/deepseek-v3.1:free", "deepseek/deepseek-v3.1:free"),
    ("aimo", "PUBKEY:deepseek-v3.1", "deepseek/deepseek-v3.1"),
    ("groq", "llama-3.3-70b-versatile", "meta-llama/llama-3.3-70b-instruct"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/llama-3.3-70b-instruct"),
    ("google-vertex", "gemini-2.5-pro", "google/gemini-2.5-pro"),
]


@pytest.mark.parametrize(("provider", "model", "canonical"), CANONICAL)
def test_one_model_has_one_canonical_id(provider: str, model: str, canonical: str) -> None:
    """However its providers write it (rule: routing)."""
    assert canonical_id(model, BY_NAME[provider].rules) == canonical
    assert canonical_of_request(canonical.upper()) == canonical


def listed(model_id: str, price: str | None = "1") -> Listed:
    """An entry of a list."""
    terms = {"input_per_million": price, "output_per_million": price} if price else None
    return Listed(id=model_id, facts=ModelFacts(), terms=terms, source="t")


def test_ids_may_be_written_in_other_ways() -> None:
    """Without prefix, in lower case, without a route: the cheapest then (rule: routing)."""
    fireworks = Provider(
        name="fireworks",
        base_url="",
        upstream=Simulator(),
        rules=BY_NAME["fireworks"].rules,
    )
    full = "accounts/fireworks/models/llama-v3p1-8b"
    fireworks.take_list([listed(full)], "now")
    for way in (full, "llama-v3p1-8b", "Llama-v3p1-8B", "llama-v3.1-8b"):
        found = fireworks.find(way)
        assert found is not None
        assert found.id == full
    router = Provider(
        name="huggingface", base_url="", upstream=Simulator(), rules=BY_NAME["huggingface"].rules
    )
    router.take_list([listed("o/m:x", "3"), listed("o/m:y", "2"), listed("o/m:z", None)], "now")
    cheapest = router.find("o/m")
    assert cheapest is not None
    assert cheapest.id == "o/m:y"
    assert router.find("o/m:z") is None
    assert set(router.unpriced) == {"o/m:z"}


def test_a_price_counts_since_it_was_first_seen() -> None:
    """The same price in a newer list is the same version, effective as before (money rule 12)."""
    provider = Provider(name="p", base_url="", upstream=Simulator())
    provider.take_list([listed("m")], "monday")
    first = provider.listed["m"].price
    provider.take_list([listed("m")], "tuesday")
    assert provider.listed["m"].price is first
    provider.take_list([listed("m", "2")], "wednesday")
    assert provider.listed["m"].price.effective_at == "wednesday"
    assert provider.listed["m"].price.version != first.version
