"""Real traffic replayed to a caller of Responses: its own byte for byte, that of all others in its
form, with the same content, ends, usage and money as chat has of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from command_api.replies.responses.native import ResponsesScanner
from tests.providers.inference.playing import check_charge, play, playing
from tests.providers.inference.recordings import (
    CHAT,
    GENERATE,
    MESSAGES,
    RESPONSES,
    WIRE,
    Recording,
    expected_counts,
    recordings,
)
from tests.providers.inference.test_messages_recordings import accumulated as message_of
from tests.providers.inference.test_messages_recordings import expected_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OWN = recordings((RESPONSES,))
OTHERS = recordings((MESSAGES, CHAT, GENERATE))
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def plays(found: Iterable[Recording]) -> pytest.MarkDecorator:
    """Each recording as it was read; streams split at random bytes, too."""
    listed = list(found)
    made: list[tuple[Recording, int | None]] = [(each, None) for each in listed]
    made += [(each, seed) for each in listed if each.streamed for seed in (1,)]
    ids = [f"{each.name}-{seed or 'as-read'}" for each, seed in made]
    return pytest.mark.parametrize(("recording", "seed"), made, ids=ids)


@pytest.fixture(scope="module")
def native(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway whose providers all speak Responses."""
    with playing(server, tmp_path_factory, OWN, "responses = true") as made:
        yield made


@pytest.fixture(scope="module")
def translated(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway of whose providers none does."""
    with playing(server, tmp_path_factory, OTHERS, "responses = false") as made:
        yield made


@pytest.mark.skipif(not WIRE.is_dir(), reason="the closing line names the missing recordings")
def test_there_are_recordings() -> None:
    """A folder that shrank would let this file pass without testing much (rule: tidy)."""
    assert len([each for each in OWN if not each.by_hand]) >= 36
    assert {each.provider for each in OWN} >= {"openai", "azure", "xai", "deepseek", "openrouter"}


def body_for(recording: Recording) -> dict[str, Any]:
    """What a caller sends: the recorded body where it is one of Responses."""
    asked = recording.record["request"]["body"]
    body: dict[str, Any] = {"input": "Hi"}
    if recording.operation == RESPONSES and isinstance(asked, dict) and "input" in asked:
        left = ("_truncated", "previous_response_id")
        body |= {name: value for name, value in asked.items() if name not in left}
    body["model"] = f"{recording.provider}/recorded/model"
    body.pop("provider", None)
    return {**body, "stream": recording.response["sse"], "store": False}


@plays(OWN)
def test_who_speaks_responses_is_passed_on(
    native: RunningGateway, recording: Recording, seed: int | None
) -> None:
    """Byte for byte, exact to the token; errors in OpenAI's envelope and free
    (P4, money rule 4, money rule 6, rule: wire).
    """
    play(native.upstream, recording, seed)
    user = native.user()
    body = body_for(recording)
    with native.client(user) as client:
        got = client.post("/v1/responses", json=body)
    story = native.story(user, got)
    if got.status_code != 200:
        assert story["status"] == "voided"
        assert recording.response["status"] != 200
        assert got.json()["error"]["code"]
        return
    assert story["status"] == "settled"
    check_charge(story, expected_counts(recording))
    sent = [each for each in native.upstream.requests if each.method == "POST"][-1]
    assert sent.path.endswith("/responses")
    assert {**sent.body, "model": body["model"]} == body
    told = recording.response["body"].encode()
    if recording.response["sse"]:
        # Behind the last event nothing matters: OpenRouter writes [DONE].
        assert told.startswith(got.content)
        assert told[len(got.content) :].strip() in (b"", b"data: [DONE]")
    else:
        assert got.content == told


@pytest.mark.parametrize(
    "recording", [each for each in OWN if each.streamed], ids=lambda each: each.name
)
def test_the_scanner_does_not_care_where_reads_end(recording: Recording) -> None:
    """Any split of a stream's bytes passes the same bytes on and finds the same usage
    (money rule 6).
    """
    body = recording.response["body"].encode()

    def scan(pieces: list[bytes]) -> tuple[Any, ...]:
        scanner = ResponsesScanner()
        out = b"".join([scanner.feed(piece) for piece in pieces]) + scanner.end()
        told = (scanner.usage, scanner.started, scanner.count(), scanner.request_id)
        return (out, *told, scanner.response)

    whole = scan([body])
    for seed in range(5):
        assert scan(recording.pieces(seed)) == whole
    if len(body) < 6_000:
        assert scan([body[i : i + 1] for i in range(len(body))]) == whole


def responded(content: bytes) -> dict[str, Any] | None:
    """The response that a stream ends with, which its events make; None where it failed."""
    events = [json.loads(line[5:]) for line in content.splitlines() if line.startswith(b"data:")]
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        if event["type"] != "response.failed":
            EVENTS.validate_python(event)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    output: list[dict[str, Any]] = []
    texts: dict[tuple[str, str], str] = {}
    for event in events[2:]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(output)
            output.append(event["item"])
        elif kind.endswith(".delta"):
            key = (event["item_id"], kind.removesuffix(".delta"))
            assert event["item_id"] == output[-1]["id"]
            texts[key] = texts.get(key, "") + event["delta"]
        elif kind.endswith((".text.done", "_text.done", "refusal.done", "arguments.done")):
            key = (event["item_id"], kind.removesuffix(".done"))
            said = event.get("text", event.get("refusal", event.get("arguments")))
            assert texts.pop(key, "") == said
        elif kind == "response.output_item.done":
            output[event["output_index"]] = event["item"]
    last = events[-1]
    if last["type"] == "response.failed":
        assert last["response"]["error"]["message"]
        return None
    assert last["type"] in ("response.completed", "response.incomplete")
    assert last["response"]["output"] == output
    found: dict[str, Any] = last["response"]
    return found


@plays(OTHERS)
def test_each_recording_is_answered_in_the_form_of_responses(
    translated: RunningGateway, recording: Recording, seed: int | None
) -> None:
    """Valid for its SDK's types, exact to the token, errors in its envelope and free
    (P4, money rule 4, money rule 6, rule: translation).
    """
    play(translated.upstream, recording, seed)
    user = translated.user()
    with translated.client(user) as client:
        got = client.post("/v1/responses", json=body_for(recording))
    story = translated.story(user, got)
    if got.status_code != 200:
        assert story["status"] == "voided"
        body = recording.response["body"]
        refused = '"error"' in body or "blockReason" in body or not body.strip()
        assert recording.response["status"] != 200 or refused
        assert got.json()["error"]["code"]
        return
    assert story["status"] == "settled"
    check_charge(story, expected_counts(recording))
    found = responded(got.content) if recording.response["sse"] else got.json()
    if found is None:
        assert "error" in recording.response["body"] or not recording.events()[-1].get("usage")
        return
    Response.model_validate(found)
    check_content(recording, found)
    told = found["usage"]
    assert told["input_tokens"] == story["usage"]["input_tokens"]
    assert told["output_tokens"] == story["usage"]["output_tokens"]
    assert told["input_tokens_details"]["cached_tokens"] == story["usage"]["cached_input_tokens"]
    reasoning = told["output_tokens_details"]["reasoning_tokens"]
    assert reasoning == story["usage"]["reasoning_tokens"]
    assert round(told["cost"] * 10**9) == story["settled_nano_usd"]


def check_content(recording: Recording, response: dict[str, Any]) -> None:
    """Texts, calls and why it ended, found in the provider's own form."""
    if recording.operation == MESSAGES:
        body = recording.response["body"].encode()
        sent: Any = message_of(body, ours=False) if recording.response["sse"] else json.loads(body)
        texts = "".join(each["text"] for each in sent["content"] if each["type"] == "text")
        calls = [(e["name"], e["input"]) for e in sent["content"] if e["type"] == "tool_use"]
        finish = {"max_tokens": "length", "refusal": "content_filter"}.get(sent["stop_reason"])
    else:
        texts, calls, finish = expected_content(recording)
    said = "".join(
        part.get("text") or part.get("refusal") or ""
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )
    assert said == texts or (recording.operation == GENERATE and said.endswith(texts))
    made = [
        (item["name"], json.loads(item["arguments"] or "{}"))
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    assert made == calls
    if finish in INCOMPLETE:
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": INCOMPLETE[finish]}
    elif recording.operation != GENERATE:
        assert response["status"] == "completed"
