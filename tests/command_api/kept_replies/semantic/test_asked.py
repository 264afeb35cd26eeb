"""What of a request is compared by meaning, and which are never compared."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from command_api.kept_replies.semantic.asked import Split, split_of
from providers.inference.port import Operation

TEXT_MAX = 100


def split(operation: Operation = Operation.CHAT, /, **body: Any) -> Split | str:
    """Of a body."""
    given = {"model": "m", "messages": [{"role": "user", "content": "Hi there"}], **body}
    raw = json.dumps(given).encode()
    return asyncio.run(split_of(raw, operation, text_bytes_max=TEXT_MAX))


def digest(text: str = "Hi there", **body: Any) -> bytes:
    """Of a request that is compared."""
    body.setdefault("messages", [{"role": "user", "content": text}])
    found = split(**body)
    assert isinstance(found, Split), found
    return found.digest


def test_the_last_text_alone_may_differ() -> None:
    """Its form and how it is told do not count; all else does (rule: access)."""
    same = digest()
    assert digest("Something else") == same
    assert digest(stream=True, stream_options={"include_usage": True}) == same
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert digest(messages=parts) == same
    others: list[dict[str, Any]] = [
        {"model": "n"},
        {"temperature": 0},
        {"user": "x"},
        {"text": "Hi 2 there"},
        {"messages": [{"role": "user", "name": "ann", "content": "Hi"}]},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}]},
    ]
    digests = [digest(**each) for each in others]
    assert len({same, *digests}) == len(others) + 1
    assert digest("2 and 3") != digest("3 and 2")
    assert digest("2 and 3") == digest("3 of 2".replace("3 of 2", "2 or 3"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pay 5", "pay -5"),
        ("pay 5", "pay \N{MINUS SIGN}5"),
        ("invoice \u0661\u0667", "invoice \u0661\u0668"),
        ("invoice \N{FULLWIDTH DIGIT FIVE}", "invoice \N{FULLWIDTH DIGIT SIX}"),
        ("\N{VULGAR FRACTION ONE HALF} of it", "\N{VULGAR FRACTION ONE QUARTER} of it"),
        ("part \N{ROMAN NUMERAL FOUR}", "part \N{ROMAN NUMERAL FIVE}"),
        ("\u4e94", "\u5341"),
        ("x\N{SUPERSCRIPT TWO}", "x\N{SUPERSCRIPT THREE}"),
    ],
)
def test_numbers_of_any_script_must_be_equal(one: str, other: str) -> None:
    """Whoever asks of invoice 17 is never told of 18, in whatever digits (rule: access)."""
    assert digest(one) == digest(one + " please") != digest(other)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "1"}]}, "tools"),
        (
            {
                "messages": [
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
                    {"role": "user", "content": "Hi"},
                ]
            },
            "tools",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
                    {"role": "user", "content": "Hi"},
                ]
            },
            "parts",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "parts"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "parts"),
        ({"messages": [{"role": "user", "content": 5}]}, "parts"),
        ({"messages": []}, "no_text"),
        ({"messages": [{"role": "user", "content": " "}]}, "no_text"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "no_text"),
        ({"messages": [{"role": "user", "content": "x" * (TEXT_MAX + 1)}]}, "text_too_long"),
        ({"messages": [{"role": "user", "content": "\u00e4" * TEXT_MAX}]}, "text_too_long"),
        ({"messages": [{"role": "user", "content": "x" * 10**6}]}, "text_too_long"),
    ],
)
def test_what_is_never_compared(body: dict[str, Any], reason: str) -> None:
    """Answers that act, and what is more than text, by name (rule: refuse clearly)."""
    assert split(**body) == reason


def of_prompt(prompt: Any, **body: Any) -> Split | str:
    """Of a body of completions."""
    return split(Operation.COMPLETIONS, prompt=prompt, **body)


def of_input(given: Any, **body: Any) -> Split | str:
    """Of a body of Responses, which is not stored unless it says so."""
    return split(Operation.RESPONSES, input=given, **{"store": False, **body})


def test_prompts_and_inputs_are_compared() -> None:
    """A text, or the last of several; all beside it must be equal (rule: access)."""
    for one in (of_prompt("Hi there"), of_prompt(["Hi there"]), of_input("Hi there")):
        assert isinstance(one, Split)
        assert one.text == "Hi there"
    parts = [{"type": "input_text", "text": "Hi there"}]
    item = {"type": "message", "role": "user", "content": parts}
    (system, plain) = (
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Something else"},
    )
    one, other = of_input([system, plain]), of_input([system, {"role": "user", "content": parts}])
    assert isinstance(one, Split)
    assert isinstance(other, Split)
    assert (one.digest == other.digest, other.text) == (True, "Hi there")
    found = [
        of_input([item]),
        of_input("Hi there", instructions="i"),
        of_input("Hi 2"),
        of_input([system, plain]),
        of_prompt("Hi there"),
        of_prompt("Hi there", suffix="s"),
    ]
    assert len({each.digest for each in found if isinstance(each, Split)}) == len(found)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (of_prompt(["Hi", "there"]), "parts"),
        (of_prompt([1, 2, 3]), "parts"),
        (of_prompt([[1, 2], [3]]), "parts"),
        (of_prompt("  "), "no_text"),
        (of_prompt("Hi", echo=True), "echo"),
        (of_input("Hi", store=True), "stored"),
        (of_input("Hi", store=None), "stored"),
        (of_input("Hi", previous_response_id="resp_1"), "stored"),
        (of_input("Hi", conversation={"id": "c"}), "stored"),
        (of_input("Hi", prompt={"id": "p"}), "stored"),
        (of_input("Hi", tools=[{"type": "web_search"}]), "tools"),
        (of_input([{"type": "function_call_output", "output": "1"}]), "tools"),
        (of_input([{"type": "reasoning", "summary": []}]), "tools"),
        (of_input([{"role": ["user"], "content": "Hi"}]), "tools"),
        (of_input([{"type": "x", "role": "user", "content": "Hi"}]), "parts"),
        (of_input([{"role": "user", "content": [{"type": "input_image"}]}]), "parts"),
        (of_input([{"role": "user", "content": [{"type": ["text"], "text": "a"}]}]), "parts"),
        (of_input([5]), "parts"),
        (of_input({}), "parts"),
        (of_input([]), "no_text"),
        (of_input("x" * (TEXT_MAX + 1)), "text_too_long"),
    ],
)
def test_what_of_prompts_and_inputs_is_never_compared(found: Split | str, reason: str) -> None:
    """What is stored, repeated in its answer, several, or no text (rule: refuse clearly)."""
    assert found == reason


def test_no_tools_are_none() -> None:
    """Empty lists and nulls offer nothing (rule: contract)."""
    assert isinstance(split(tools=[], functions=None), Split)
    assert isinstance(split(Operation.MESSAGES, system="s", max_tokens=5), Split)
    assert split(Operation.EMBEDDINGS) == "operation"
