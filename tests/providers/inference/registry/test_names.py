"""A caller's model id, read once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.inference.registry.names import ModelName

CONFIGURED = frozenset({"openai", "near", "google-vertex"})
NAMES = [
    ("openai/gpt-4o", "openai", "gpt-4o"),
    ("near/org/model", "near", "org/model"),
    ("openai/openai/gpt-4o", "openai", "openai/gpt-4o"),
    ("google-vertex/gemini:free", "google-vertex", "gemini:free"),
    ("openai/", "openai", ""),
    ("openai", None, "openai"),
    ("gpt-4o", None, "gpt-4o"),
    ("groq/llama", None, "groq/llama"),
    ("org/openai/model", None, "org/openai/model"),
    ("OpenAI/gpt-4o", None, "OpenAI/gpt-4o"),
    (" openai/gpt-4o", None, " openai/gpt-4o"),
    ("/openai/gpt-4o", None, "/openai/gpt-4o"),
    ("openai//gpt-4o", "openai", "/gpt-4o"),
    ("", None, ""),
]


@pytest.mark.parametrize(("text", "provider", "own"), NAMES)
def test_only_a_first_segment_that_is_configured_pins(
    text: str, provider: str | None, own: str
) -> None:
    """The rest, slashes included, is the provider's id (rule: routing)."""
    assert ModelName.read(text, CONFIGURED) == ModelName(provider, own)


@given(provider=st.sampled_from(sorted(CONFIGURED)), own=st.text())
def test_what_is_put_behind_a_provider_comes_back_as_it_was(provider: str, own: str) -> None:
    """Public ids are read back to what they were made of (rule: routing)."""
    assert ModelName.read(f"{provider}/{own}", CONFIGURED) == ModelName(provider, own)


@given(text=st.text(alphabet="ab/-", max_size=12))
def test_nothing_is_lost_of_an_id(text: str) -> None:
    """Whatever it pins, provider and id give the text again (rule: routing)."""
    name = ModelName.read(text, {"a", "a-b", ""})
    assert text == (name.id if name.provider is None else f"{name.provider}/{name.id}")
