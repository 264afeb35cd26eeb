"""Which model bills images by which formula."""

from __future__ import annotations

import pytest

from domain.images.models import UNKNOWN_RULE, rule_of, stated_rule
from domain.images.sizes import Picture

MODELS: list[tuple[str, int, int]] = [
    # The most of any image, and tokens of one of 512 pixels each way.
    ("openai/gpt-4o-mini", 48_169, 8_500),
    ("openai/gpt-4o-mini-2024-07-18", 48_169, 8_500),
    ("openai/ft:gpt-4o-mini-2024-07-18:org::id", 48_169, 8_500),
    ("GPT-4o-Mini", 48_169, 8_500),
    ("openai/gpt-4o", 1_445, 255),
    ("openai/gpt-4o-2024-11-20", 1_445, 255),
    ("openai/chatgpt-4o-latest", 1_445, 255),
    ("openai/gpt-4o:extended", 1_445, 255),
    ("openai/gpt-4.1", 1_445, 255),
    ("openai/gpt-4.1-2025-04-14", 1_445, 255),
    ("openai/gpt-4.1-mini", 2_489, 415),
    ("openai/gpt-4.1-nano-2025-04-14", 3_779, 630),
    ("openai/gpt-5", 1_190, 210),
    ("openai/gpt-5-2025-08-07", 1_190, 210),
    ("openai/gpt-5-chat-latest", 1_190, 210),
    ("openai/gpt-5-mini", 2_489, 415),
    ("openai/gpt-5-nano", 3_779, 630),
    ("openai/gpt-5.4", 12_000, 308),
    ("openai/gpt-5.9", 86_947, 630),
    ("openai/gpt-7", 86_947, 630),
    ("openai/gpt-4o-audio-preview", 86_947, 630),
    ("openai/o1", 1_275, 225),
    ("openai/o3-2025-04-16", 1_275, 225),
    ("openai/o4-mini", 2_642, 441),
    ("openai/o9", 86_947, 630),
    ("openai/computer-use-preview", 1_097, 194),
    ("anthropic/claude-3-5-sonnet-20241022", 1_600, 361),
    ("anthropic/claude-3.7-sonnet:thinking", 1_600, 361),
    ("anthropic/claude-opus-4", 1_600, 361),
    ("anthropic/claude-opus-4-20250514", 1_600, 361),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1_600, 361),
    ("google/claude-haiku-4-5@20251001", 1_600, 361),
    ("anthropic/claude-sonnet-4.6", 1_600, 361),
    ("anthropic/claude-opus-4-7", 4_784, 361),
    ("anthropic/claude-opus-4-10", 4_784, 361),
    ("anthropic/claude-sonnet-5", 4_784, 361),
    ("google/gemini-2.5-pro", 6_192, 1_032),
    ("google/gemini-3-pro-preview", 6_192, 2_240),
    ("google/gemini-flash-latest", 6_192, 2_240),
    ("x-ai/grok-4", 1_792, 1_792),
    ("x-ai/grok-9", 16_386, 16_386),
    ("qwen/qwen3-vl-235b", 16_386, 16_386),
    ("a-new-one", 16_386, 16_386),
    ("", 16_386, 16_386),
]


@pytest.mark.parametrize(("name", "most", "tokens"), MODELS)
def test_a_models_name_says_its_rule(name: str, most: int, tokens: int) -> None:
    """Of what no row knows, the documented default is held (money rule 2)."""
    rule = rule_of(name)
    assert rule.image.most == most
    assert rule.image.tokens(Picture(512, 512)) == tokens
    assert rule.images([Picture(512, 512)] * 2, 3) == 2 * tokens + 3 * most


DOCUMENTS = [
    ("anthropic/claude-sonnet-4-5", 600 * 4_600),
    ("openai/gpt-4o", 600 * 4_445),
    ("google/gemini-2.5-pro", 258_000),
    ("google/gemini-3-pro", 1_120_000),
    ("a-new-one", 460_000),
]


@pytest.mark.parametrize(("name", "tokens"), DOCUMENTS)
def test_a_document_has_as_many_pages_as_its_provider_reads(name: str, tokens: int) -> None:
    """Each with its text and its image; the context bounds them further (money rule 2)."""
    assert rule_of(name).document == tokens


def test_an_operator_says_otherwise() -> None:
    """What is stated counts before the table (money rule 2)."""
    rule = stated_rule(UNKNOWN_RULE, 7, None)
    assert rule.images([Picture(9, 9)], 1) == 14
    assert rule.document == UNKNOWN_RULE.document
    rule = stated_rule(UNKNOWN_RULE, None, 5)
    assert (rule.image, rule.document) == (UNKNOWN_RULE.image, 5)
