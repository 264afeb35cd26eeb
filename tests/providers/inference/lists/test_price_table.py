"""The price table prices what lists do not."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.pricing.uses import TERM_OF_USE
from providers.inference.lists.price_table import table_context_length, table_terms

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_the_price_table_prices_what_lists_do_not() -> None:
    """With its tiers; what is billed in units we cannot count stays unpriced (P10)."""
    gemini = table_terms("google", "gemini-2.5-pro", NOW)
    assert gemini is not None
    assert gemini["input_per_million_above_200000"] == "2.5"
    assert table_terms("openai", "gpt-4o-mini", NOW) == {
        "input_per_million": "0.15",
        "cached_input_per_million": "0.075",
        "output_per_million": "0.6",
        "file_search_per_thousand": "2.5",
    }
    claude = table_terms("anthropic", "claude-sonnet-4-5", NOW)
    assert claude is not None
    assert claude["cache_write_1h_per_million"] == "6"
    assert claude["web_search_per_thousand"] == "10"
    assert not any(name in gemini for name in TERM_OF_USE.values())
    assert claude["cache_write_1h_per_million_above_200000"] == "12"
    assert table_terms("groq", "canopylabs/orpheus-arabic-saudi", NOW) is None
    fireworks = "accounts/fireworks/models/deepseek-v3p2"
    assert table_terms("fireworks", fireworks, NOW) is not None
    embedding = table_terms("google", "gemini-embedding-001", NOW)
    assert embedding is not None
    assert embedding["output_per_million"] == "0"
    assert table_context_length("groq", "no-such-model") is None
