"""The walk over the texts of a body."""

from __future__ import annotations

from typing import Any

import pytest

from domain.guardrails.walking import DEPTH_MAX, TooDeepError, Walk, everything

UPPER = Walk(str.upper, lambda text: f"<{text}>")


def test_texts_are_taken_and_names_are_not() -> None:
    """Ids, types, addresses and bytes of pictures stay; a tool's own JSON is looked at whole
    (rule: contract).
    """
    body = {
        "role": "user",
        "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:x"}},
            {
                "type": "tool_use",
                "id": "t",
                "name": "f",
                "input": {"id": "b", "c": [1, True, None]},
            },
        ],
        "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
        "logprobs": {"content": ["a"]},
        "n": 1,
    }
    content = [
        {"type": "text", "text": "A"},
        {"type": "image_url", "image_url": {"url": "data:x"}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"ID": "B", "C": [1, True, None]}},
    ]
    calls = [{"id": "t", "function": {"name": "f", "arguments": "<{}>"}}]
    assert UPPER.over(body) == {**body, "content": content, "tool_calls": calls}


def test_a_document_and_a_name_are_texts() -> None:
    """Where a member of a name that is elsewhere none holds what somebody wrote, it is looked at
    (rule: access).
    """
    source = {"type": "text", "media_type": "text/plain", "data": "a"}
    sealed = {"type": "base64", "media_type": "application/pdf", "data": "a"}
    assert UPPER.over([source, sealed]) == [{**source, "data": "A"}, sealed]
    assert UPPER.over({"role": "user", "name": "ann"}) == {"role": "user", "name": "ANN"}
    function = {"role": "function", "name": "f"}
    assert UPPER.over(function) == function
    schema = {"name": "f", "default": {"name": "a"}, "examples": [{"url": "b"}], "enum": ["c", 1]}
    told = {"name": "f", "default": {"NAME": "A"}, "examples": [{"URL": "B"}], "enum": ["C", 1]}
    assert UPPER.over(schema) == told


def test_a_tools_texts_may_be_taken_otherwise() -> None:
    """They are no JSON inside a text (rule: wire)."""
    walk = Walk(str.upper, str.upper, str.title)
    assert walk.over({"input": {"a": "bc"}}) == {"input": {"A": "Bc"}}
    assert walk.over({"input": "bc", "stop": ["x"]}) == {"input": "BC", "stop": ["X"]}


def test_a_number_that_is_taken_becomes_a_text() -> None:
    """A card is one without quotes as well (rule: access)."""
    taken = everything({"card": 42, "n": 1}, lambda text: "[CARD_1]" if text == "42" else text)
    assert taken == {"card": "[CARD_1]", "n": 1}


@pytest.mark.parametrize(
    "wrap", [lambda x: [x], lambda x: {"a": x}, lambda x: {"input": {"a": [x]}}]
)
def test_what_is_too_deep_is_a_failure(wrap: Any) -> None:
    """Of lists, objects, and a tool's own (rule: bounded)."""
    value: Any = "x"
    for _ in range(DEPTH_MAX + 1):
        value = wrap(value)
    with pytest.raises(TooDeepError):
        UPPER.over(value)
    with pytest.raises(TooDeepError):
        everything(value, str)
