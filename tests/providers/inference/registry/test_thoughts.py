"""Which thoughts of earlier turns a provider is sent: by its name or kind, or as the file says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from providers.inference.registry.providers_file import ProvidersFileError
from providers.inference.registry.thoughts import (
    EVERYTHING,
    STRICT,
    USUAL,
    with_taken_thoughts,
)
from tests.providers.inference.asking import MODEL, load

if TYPE_CHECKING:
    from pathlib import Path

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "SIG"}}}
EACH = {
    "reasoning": "R",
    "reasoning_content": "C",
    "reasoning_details": [{"type": "reasoning.text", "text": "D"}],
}


def sent(messages: Any, *, model: str = "m") -> Any:
    """What a provider that takes nothing back gets."""
    raw = msgspec.Raw(json.dumps(messages).encode())
    return json.loads(bytes(with_taken_thoughts(raw, {}, model)))


HOSTILE: list[tuple[Any, Any]] = [
    ([], []),
    ({"role": "assistant", **EACH}, {"role": "assistant", **EACH}),
    ([7, {"role": "assistant", **EACH}], [7, {"role": "assistant", **EACH}]),
    ([{**EACH}], [{**EACH}]),
    ([{"role": ["assistant"], **EACH}], [{"role": ["assistant"], **EACH}]),
    ([{"role": "user", **EACH}], [{"role": "user", **EACH}]),
    ([{"role": "assistant", **dict.fromkeys(EACH)}], [{"role": "assistant"}]),
    (
        [{"role": "assistant", "content": "my reasoning_content", "reasoning": [[{}]]}],
        [{"role": "assistant", "content": "my reasoning_content"}],
    ),
    (
        [{"role": "assistant", "tool_calls": "extra_content"}],
        [{"role": "assistant", "tool_calls": "extra_content"}],
    ),
    (
        [{"role": "assistant", "tool_calls": [7, SIGNED]}],
        [{"role": "assistant", "tool_calls": [7, SIGNED]}],
    ),
    (
        [{"role": "assistant", "tool_calls": [SIGNED]}],
        [{"role": "assistant", "tool_calls": [CALL]}],
    ),
]


@pytest.mark.parametrize(("messages", "gets"), HOSTILE)
def test_what_is_odd_passes_to_who_can_say_what_is_wrong(messages: Any, gets: Any) -> None:
    """Thoughts of the assistant are left out; nothing else changes (rule: translation)."""
    assert sent(messages) == gets


def test_who_has_none_is_sent_what_came_byte_for_byte() -> None:
    """Words about reasoning are no thoughts (rule: translation)."""
    raw = msgspec.Raw(b'[ {"role" : "assistant", "content": "my \\u0072easoning and reasoning"} ]')
    assert with_taken_thoughts(raw, {}, "m") is raw
    thought = msgspec.Raw(b'[ {"role" : "assistant", "content": "", "reasoning_content": "x"} ]')
    assert with_taken_thoughts(thought, USUAL, "m") is thought


def test_a_provider_takes_what_its_kind_takes(tmp_path: Path) -> None:
    """Or what its name, or the file, says; the file of its own form alone (rule: translation)."""
    keys = {f"{name}_API_KEY": "k" for name in ("OPENAI", "GROQ", "CEREBRAS", "OPENROUTER", "XAI")}
    known = load(None, ANTHROPIC_API_KEY="k", **keys).providers
    assert known["groq"].taken_thoughts == STRICT["groq"]
    assert known["openai"].taken_thoughts == known["cerebras"].taken_thoughts == {}
    assert known["xai"].taken_thoughts == known["simulator"].taken_thoughts == USUAL
    assert known["openrouter"].taken_thoughts == known["anthropic"].taken_thoughts == EVERYTHING
    entry = '[[provider]]\nname = "{0}"\nbase_url = "http://y/v1"\n{1}\n' + MODEL
    text = "".join(
        entry.format(*each)
        for each in (
            ("mistral", "thoughts = []"),
            ("minimax", 'thoughts = ["reasoning_details"]'),
            ("openai", 'thoughts = ["reasoning"]'),
            ("deepseek", ""),
            ("claudes", 'protocol = "anthropic"\nthoughts = []'),
        )
    )
    said = load(tmp_path / "p.toml", text, **keys).providers
    assert said["mistral"].taken_thoughts == {}
    assert said["minimax"].takes_details
    assert not said["deepseek"].takes_details
    assert said["openai"].taken_thoughts == {"reasoning": ("",)}
    assert said["deepseek"].taken_thoughts == USUAL
    assert said["claudes"].taken_thoughts == EVERYTHING


@pytest.mark.parametrize("wrong", ['["thoughts"]', '[""]', "[7]", '"reasoning"', "true"])
def test_the_file_names_only_thoughts(tmp_path: Path, wrong: str) -> None:
    """Another name stops the start and is told (rule: refuse clearly)."""
    text = f'[[provider]]\nname = "a"\nbase_url = "http://y/v1"\nthoughts = {wrong}\n{MODEL}'
    with pytest.raises(ProvidersFileError, match="thoughts"):
        load(tmp_path / "p.toml", text)
