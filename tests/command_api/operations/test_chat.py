"""What a chat body asks and bounds."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.operations.chat import TOKENS_MAX, ChatRequest, parse_chat
from command_api.operations.prompts import BASE64_BYTES_PER_AUDIO_MINUTE
from command_api.settings import Settings
from domain.catalog import PLAIN, ModelFacts
from domain.ledger.holds import CallBound, PromptSize
from domain.pricing.usage import Usage, estimate_tokens
from edge.errors import ApiError
from providers.inference.registry.offers import Listed, Model, offer

SETTINGS = Settings()


def chat(*messages: dict[str, Any], **more: Any) -> ChatRequest:
    """A checked request."""
    return parse_chat(
        msgspec.json.encode({"model": "m", "messages": list(messages), **more}), SETTINGS.requests
    )


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    """A message of content parts."""
    return {"role": "user", "content": list(parts)}


def model_of(context: int | None = None, most: int | None = None) -> Model:
    """A model with a price, and lengths in tokens."""
    facts = ModelFacts(context_length=context, max_output_tokens=most)
    terms = {"input_per_million": "1", "output_per_million": "1"}
    return offer("p", Listed(id="m", facts=facts, terms=terms), PLAIN, "now")


HI = {"role": "user", "content": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
VIDEO = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * 9_000}}
RESULT = {"type": "tool_result", "text": "Hi", "content": [{"type": "text", "text": "Grüße"}]}
FILE = {"type": "file", "file": {"file_data": "A" * 9_000}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def json_size(value: Any) -> int:
    """Bytes of a value as it stands in these bodies."""
    return len(msgspec.json.encode(value))


def audio(base64_bytes: int) -> dict[str, Any]:
    """A part of audio, with so many bytes of base64."""
    return {"type": "input_audio", "input_audio": {"data": "A" * base64_bytes, "format": "wav"}}


SIZES: list[tuple[ChatRequest, PromptSize]] = [
    (chat(HI), PromptSize(2, 1)),
    (chat(HI, HI), PromptSize(4, 2)),
    (chat({"role": "user", "content": "Grüße, 世界"}), PromptSize(15, 1)),
    (chat({"role": "assistant", "content": None}), PromptSize(0, 1)),
    (chat({**HI, "name": "Änne"}), PromptSize(7, 1)),
    (chat(user({"type": "text", "text": "Hi"})), PromptSize(2, 1)),
    (chat(user({"type": "text", "text": "Hi"}, IMAGE, IMAGE)), PromptSize(2, 1, images=2)),
    (chat(user(IMAGE), user(IMAGE)), PromptSize(0, 2, images=2)),
    (chat(user(FILE)), PromptSize(0, 1, files=1)),
    (chat(user(audio(10))), PromptSize(0, 1, audio_minutes=1)),
    (chat(user(audio(BASE64_BYTES_PER_AUDIO_MINUTE))), PromptSize(0, 1, audio_minutes=2)),
    (chat(user(audio(10), audio(10))), PromptSize(0, 1, audio_minutes=2)),
    (chat(user(VIDEO)), PromptSize(0, 1, other_bytes=json_size(VIDEO))),
    (
        chat(HI, user(RESULT, IMAGE, VIDEO)),
        PromptSize(2, 2, 1, 0, 0, json_size(RESULT) + json_size(VIDEO)),
    ),
    (chat(HI, tools=[TOOL]), PromptSize(2 + json_size([TOOL]), 1)),
    (chat(HI, tools=None, functions=None), PromptSize(2, 1)),
    (chat(HI, functions=[TOOL]), PromptSize(2 + json_size([TOOL]), 1)),
    (chat(HI, response_format=TOOL), PromptSize(2 + json_size(TOOL), 1)),
    (
        chat({"role": "assistant", "content": None, "tool_calls": [CALL]}),
        PromptSize(json_size([CALL]), 1),
    ),
    (
        chat({"role": "assistant", "content": "x", "function_call": CALL["function"]}),
        PromptSize(1 + json_size(CALL["function"]), 1),
    ),
]


@pytest.mark.parametrize(("request_", "size"), SIZES)
def test_what_of_a_prompt_costs_tokens(request_: ChatRequest, size: PromptSize) -> None:
    """Text, tools and schemas by bytes; images, audio and files by the piece (money rule 2)."""
    assert request_.prompt_size() == size


ODD = "x" * 1_000
OTHERS: list[tuple[ChatRequest, int]] = [
    (chat({**HI, "refusal": ODD}), 1_002),
    (chat(user({"type": "refusal", "refusal": ODD})), 1_000),
    (chat(user({"type": "text", "text": "Hi", "refusal": ODD})), 1_002),
    (chat(user({"type": "text", "text": "Hi", "more": ODD})), 1_008),
    (chat(user({"type": "text", "text": "Hi", "file": {"a": ODD}})), 1_010),
    (chat(user({"type": "text", "text": "Hi", "cache_control": {"a": ODD}})), 1_023),
    (chat(user({"type": "odd", "text": ODD})), 1_003),
    (chat(user({"type": "odd", "text": ODD}), more=ODD), 1_024 + 1_006),
    (chat({**HI, "reasoning_content": ODD}), 1_021),
    (chat({**HI, "reasoning_details": [{"text": ODD}]}), 1_032),
    (chat({**HI, "more": ODD}), 1_008),
    (chat({**HI, "role": ODD}), 1_002),
    (chat({"role": "tool", "content": "Hi", "tool_call_id": ODD}), 1_002),
    (chat(HI, documents=[ODD]), 1_015),
    (chat(HI, plugins=[{"id": "web", "search_prompt": ODD}]), 1_042),
    (chat(HI, **{ODD: 1}), 1_003),
    (chat({**HI, "cache_control": {"type": "ephemeral"}}, metadata={"a": ODD}), 2),
    (chat({**HI, "annotations": [], "audio": None, "reasoning": ""}, top_k=40, min_p=0.5), 2),
    (
        chat(
            {"role": "tool", "content": "Hi", "tool_call_id": "call_12345678901234567890"},
            temperature=0.5,
            stop=[ODD],
            logit_bias={"1": 5},
        ),
        2,
    ),
]


@pytest.mark.parametrize(("request_", "size"), OTHERS)
def test_what_nobody_knows_is_bounded_by_its_bytes(request_: ChatRequest, size: int) -> None:
    """It goes to the provider, who may count it; what is no prompt is not (money rule 2)."""
    found = request_.prompt_size()
    assert found.text_bytes + found.other_bytes == size
    assert request_.estimated_input_tokens() <= found.tokens_bound(None)
    assert request_.estimated_input_tokens() >= size // 4


BOUNDS: list[tuple[ChatRequest, Model, CallBound]] = [
    (chat(HI), model_of(), CallBound(9, 4_096, extendable=False)),
    (chat(HI, stream=True), model_of(), CallBound(9, 4_096, extendable=True)),
    (chat(HI, max_tokens=5, stream=True), model_of(), CallBound(9, 5)),
    (chat(HI, max_completion_tokens=5), model_of(), CallBound(9, 5)),
    (chat(HI, max_tokens=5, n=3), model_of(), CallBound(9, 15)),
    (chat(HI, max_tokens=500), model_of(most=100), CallBound(9, 100)),
    (chat(HI, stream=True), model_of(most=100), CallBound(9, 100)),
    (chat(HI, max_tokens=5), model_of(context=4), CallBound(4, 5)),
    (chat(user(IMAGE), max_tokens=5), model_of(), CallBound(16_394, 5, input_images=1)),
    (chat(user(audio(9)), max_tokens=5), model_of(), CallBound(2_008, 5)),
    (chat(user(FILE), max_tokens=5), model_of(), CallBound(460_008, 5)),
    (
        chat(user(VIDEO), max_tokens=5),
        model_of(),
        CallBound(-(-json_size(VIDEO) // 2) + 8, 5),
    ),
    (chat(user(VIDEO), max_tokens=5), model_of(context=100), CallBound(100, 5)),
    # What was predicted and not used is charged as output.
    (chat(HI, max_tokens=5, n=2, prediction={"a": 1}), model_of(), CallBound(9, 18)),
]


@pytest.mark.parametrize(("request_", "model", "bound"), BOUNDS)
def test_the_most_that_a_call_can_use(
    request_: ChatRequest, model: Model, bound: CallBound
) -> None:
    """Never more than the call can cost, and never less (money rule 2)."""
    assert request_.bound(model, SETTINGS.holds) == bound


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1),
    images=st.integers(0, 3),
    files=st.integers(0, 2),
)
def test_our_own_count_is_never_above_the_bound(texts: list[str], images: int, files: int) -> None:
    """A call that is settled by our count was held for it (P1)."""
    parts = [*[IMAGE] * images, *[FILE] * files, VIDEO]
    request = chat(*[user({"type": "text", "text": each}, *parts) for each in texts])
    bound = request.bound(model_of(), SETTINGS.holds).input_tokens
    assert 0 < request.estimated_input_tokens() <= bound


def test_a_body_that_was_let_go_is_not_kept() -> None:
    """None of its bytes; its bound and our own count of it stay (rule: bounded)."""
    messages = [HI, user(IMAGE, VIDEO)]
    raw = msgspec.json.encode({"model": "m", "messages": messages, "tools": [{"type": "x"}]})
    before = sys.getrefcount(raw)
    request_ = parse_chat(raw, SETTINGS.requests)
    assert sys.getrefcount(raw) > before
    kept = (request_.bound(model_of(), SETTINGS.holds), request_.estimated(5))
    request_.let_go()
    assert sys.getrefcount(raw) == before
    assert kept == (request_.bound(model_of(), SETTINGS.holds), request_.estimated(5))


def test_our_own_count_adds_up() -> None:
    """Text by script, four tokens a message, 512 an image (money rule 6)."""
    text = "What is shown here?"
    request = chat(user({"type": "text", "text": text}, IMAGE), HI, tools=[TOOL])
    expected = estimate_tokens(text) + 1 + 2 * 4 + 512 + -(-json_size([TOOL]) // 4)
    assert request.estimated_input_tokens() == expected
    assert request.estimated(7) == Usage(expected, 7, source="estimated")


def test_a_report_is_completed_by_the_images_of_the_prompt() -> None:
    """No provider counts them, and some prices have a term for them (money rule 1)."""
    report = Usage(9, 4)
    assert chat(HI).used(report, model_of(), lambda: 3) is report
    assert chat(user(IMAGE, IMAGE)).used(report, model_of(), lambda: 3).input_images == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": [HI] * (SETTINGS.requests.messages_max + 1)}, "messages"),
    ({"n": 0}, "n"),
    ({"n": SETTINGS.requests.choices_max + 1}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": TOKENS_MAX + 1}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"),
]


@pytest.mark.parametrize(("more", "param"), REFUSED)
def test_what_cannot_be_bounded_is_refused(more: dict[str, Any], param: str) -> None:
    """The refusal names the member (P10)."""
    body = {"model": "m", "messages": [HI], **more}
    with pytest.raises(ApiError) as refusal:
        parse_chat(msgspec.json.encode(body), SETTINGS.requests)
    assert (refusal.value.status, refusal.value.param) == (400, param)


SHAPELESS: dict[str, list[Any]] = {
    "stop": [5, {}, True],
    "logit_bias": ["x", [1], 5],
    "tool_choice": [7, [], False],
    "response_format": ["json", [], 7],
    "tools": ["x", {}, 7],
    "functions": ["x", {}, 7],
    "temperature": ["x", [], True],
    "top_p": ["1", {}],
    "presence_penalty": ["1", {}],
    "frequency_penalty": ["1", {}],
    "seed": ["1", [1], False],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, each) for name, values in SHAPELESS.items() for each in values]
)
def test_what_no_provider_could_read_is_refused(name: str, value: Any) -> None:
    """By the member's name, before anything is held: translated, some would be passed over
    (rule: refuse clearly).
    """
    with pytest.raises(ApiError) as refused:
        chat(HI, **{name: value})
    told = (refused.value.status, refused.value.code, refused.value.param)
    assert told == (400, "invalid_type", name)
    assert chat(HI, **{name: None}).model


def test_what_a_provider_may_read_is_its_own_to_judge() -> None:
    """Values, names and numbers beyond OpenAI's bounds pass as they came (rule: contract)."""
    odd = {
        "stop": ["a", "b", "c", "d", "e", ""],
        "logit_bias": {"a": 10**9},
        "temperature": -5,
        "top_p": 1e9,
        "seed": -(2**63),
        "tool_choice": "wizard",
        "response_format": {"type": "wizard"},
        "tools": [],
    }
    assert chat(HI, **odd).model
