"""Real traffic replayed to a caller who speaks Anthropic's API: its own byte for byte, that of all
others in its form, with the same content, ends, usage and money as chat has of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from command_api.replies.messages.native import MessagesScanner
from tests.providers.inference.playing import check_charge, play, playing
from tests.providers.inference.recordings import (
    CHAT,
    GENERATE,
    MESSAGES,
    Recording,
    expected_counts,
    recordings,
)

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
RECORDINGS = [each for each in recordings() if each.operation in (MESSAGES, CHAT, GENERATE)]
PLAYS: list[tuple[Recording, int | None]] = [(each, None) for each in RECORDINGS]
PLAYS += [(each, 1) for each in RECORDINGS if each.streamed]
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
OTHER_STOPS = {"eos": "end_turn", "eos_token": "end_turn", "content_filter": "refusal"}
TYPES = {
    400: "invalid_request_error",
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@pytest.fixture(scope="module")
def gateway(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for all recordings."""
    with playing(server, tmp_path_factory, RECORDINGS) as made:
        yield made


def body_for(recording: Recording) -> dict[str, Any]:
    """What a caller sends: the recorded body where it is one of Anthropic's."""
    asked = recording.record["request"]["body"]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4_096}
    if recording.operation == MESSAGES and isinstance(asked, dict) and "messages" in asked:
        body |= {name: value for name, value in asked.items() if name != "_truncated"}
    body["model"] = f"{recording.provider}/recorded/model"
    return {**body, "stream": recording.response["sse"]}


@pytest.mark.parametrize(
    ("recording", "seed"),
    PLAYS,
    ids=[f"{each.name}-{seed or 'as-read'}" for each, seed in PLAYS],
)
def test_each_recording_is_answered_in_anthropics_form(
    gateway: RunningGateway, recording: Recording, seed: int | None
) -> None:
    """Valid for its SDK's types, exact to the token, errors in its envelope and free
    (P4, money rule 4, money rule 6, rule: translation).
    """
    play(gateway.upstream, recording, seed)
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post("/v1/messages", json=body_for(recording))
    story = gateway.story(user, got)
    if got.status_code != 200:
        assert story["status"] == "voided"
        body = recording.response["body"]
        refused = '"error"' in body or "blockReason" in body or not body.strip()
        assert recording.response["status"] != 200 or refused
        told = got.json()
        assert (told["type"], told["error"]["type"]) == ("error", TYPES[got.status_code])
        assert told["request_id"] == got.headers["request-id"]
        return
    assert story["status"] == "settled"
    check_charge(story, expected_counts(recording))
    if recording.operation == MESSAGES:
        check_bytes(recording, got.content)
        return
    found = accumulated(got.content) if recording.response["sse"] else got.json()
    if found is None:
        assert "error" in recording.response["body"] or not recording.events()[-1].get("usage")
        return
    Message.model_validate(found)
    check_content(recording, found)
    told = found["usage"]
    counted = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(told[name] for name in counted) == story["usage"]["input_tokens"]
    assert told["output_tokens"] == story["usage"]["output_tokens"]
    assert round(told["cost"] * 10**9) == story["settled_nano_usd"]


def check_bytes(recording: Recording, content: bytes) -> None:
    """Anthropic's own pass: of a stream all up to the end of message_stop."""
    body = recording.response["body"].encode()
    if recording.response["sse"]:
        assert body.startswith(content)
        assert not body[len(content) :].strip()
    else:
        assert content == body


def accumulated(content: bytes) -> dict[str, Any] | None:
    """The message that a stream makes, told by its events; None where it ended in an error."""
    message: dict[str, Any] = {}
    parts: dict[int, str] = {}
    opened: list[int] = []
    kinds = []
    for line in content.splitlines():
        if not line.startswith(b"data:"):
            continue
        event = json.loads(line[5:])
        kinds.append(event["type"])
        if event["type"] == "error":
            return None
        if event["type"] == "ping":
            continue
        EVENTS.validate_python(event)
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            assert not opened, "blocks follow each other"
            assert event["index"] == len(message["content"])
            opened.append(event["index"])
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            assert opened == [event["index"]]
            grow(message["content"][event["index"]], event["delta"], parts, event["index"])
        elif event["type"] == "content_block_stop":
            assert opened.pop() == event["index"]
            if event["index"] in parts:
                block = message["content"][event["index"]]
                block["input"] = json.loads(parts[event["index"]])
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert not opened
    return message


def grow(block: dict[str, Any], delta: dict[str, Any], parts: dict[int, str], index: int) -> None:
    """Add a delta to its block."""
    names = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
    if delta["type"] == "input_json_delta":
        parts[index] = parts.get(index, "") + delta["partial_json"]
    else:
        name = names[delta["type"]]
        block[name] += delta[name]


def check_content(recording: Recording, message: dict[str, Any]) -> None:
    """Texts, calls and why it ended, found in the provider's own form."""
    texts, calls, finish = expected_content(recording)
    found = [each["text"] for each in message["content"] if each["type"] == "text"]
    # Code that Gemini ran stands before what it says.
    assert "".join(found).endswith(texts) if recording.operation == GENERATE else True
    assert "".join(found) == texts or "executableCode" in recording.response["body"]
    made = [(e["name"], e["input"]) for e in message["content"] if e["type"] == "tool_use"]
    assert made == calls
    if calls:
        assert message["stop_reason"] in ("tool_use", "max_tokens")
    elif finish in {**STOPS, **OTHER_STOPS}:
        assert message["stop_reason"] == {**STOPS, **OTHER_STOPS}[finish]


def expected_content(recording: Recording) -> tuple[str, list[tuple[str, Any]], str | None]:
    """What a provider sent of its first choice."""
    if recording.operation == GENERATE:
        return of_gemini(recording)
    texts: list[str] = []
    calls: dict[Any, list[str]] = {}
    finish = None
    for event in recording.events():
        for choice in (event.get("choices") or ())[:1]:
            if choice.get("index"):
                continue
            said = choice.get("delta") or choice.get("message") or {}
            if isinstance(choice.get("text"), str) and not said:
                said = {"content": choice["text"]}
            content = said.get("content") or ""
            if isinstance(content, list):
                content = "".join(part.get("text") or "" for part in content)
            texts += [content, said.get("refusal") or ""]
            for place, call in enumerate(said.get("tool_calls") or ()):
                function = call.get("function") or {}
                known = calls.setdefault(call.get("index", place), ["", ""])
                known[0] += function.get("name") or ""
                known[1] += function.get("arguments") or ""
            finish = choice.get("finish_reason") or finish
    made = [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()]
    return "".join(texts), made, finish


def of_gemini(recording: Recording) -> tuple[str, list[tuple[str, Any]], str | None]:
    """The same of Gemini's candidates."""
    texts: list[str] = []
    calls: list[tuple[str, Any]] = []
    for event in recording.events():
        for candidate in (event.get("candidates") or ())[:1]:
            for part in (candidate.get("content") or {}).get("parts") or ():
                if not part.get("thought"):
                    texts.append(part.get("text") or "")
                if "functionCall" in part:
                    called = part["functionCall"]
                    calls.append((called["name"], called.get("args") or {}))
    return "".join(texts), calls, None


@pytest.mark.parametrize(
    "recording",
    [each for each in RECORDINGS if each.streamed and each.operation == MESSAGES],
    ids=lambda each: each.name,
)
def test_the_scanner_does_not_care_where_reads_end(recording: Recording) -> None:
    """Any split of a stream's bytes passes the same bytes on and finds the same usage
    (money rule 6).
    """
    body = recording.response["body"].encode()

    def scan(pieces: list[bytes]) -> tuple[bytes, Any, bool, int, str | None]:
        scanner = MessagesScanner()
        out = b"".join([scanner.feed(piece) for piece in pieces]) + scanner.end()
        return out, scanner.usage, scanner.started, scanner.count(), scanner.request_id

    whole = scan([body])
    for seed in range(5):
        assert scan(recording.pieces(seed)) == whole
    if len(body) < 6_000:
        assert scan([body[i : i + 1] for i in range(len(body))]) == whole
