"""The table of providers that are known by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.catalog import canonical_id, canonical_of_request
from providers.inference.lists.forms import FORMS
from providers.inference.lists.price_table import table_terms
from providers.inference.registry.built_in import BUILT_IN, BY_NAME

NOW = datetime(2026, 11, 1, tzinfo=UTC)
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


def test_every_entry_names_a_form_and_a_table_that_exist() -> None:
    """The declarative entries are consistent (rule: translation)."""
    assert len({each.name for each in BUILT_IN}) == len(BUILT_IN)
    for each in BUILT_IN:
        assert each.list_form in FORMS
        if each.price_table:
            assert table_terms(each.price_table, "no-such-model-at-all", NOW) is None
