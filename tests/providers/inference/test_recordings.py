"""Real traffic of real providers, replayed over HTTP: replies that OpenAI's own types accept,
each call settled to the provider's own usage, errors normalised and free.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from command_api.replies.sse import StreamScanner
from tests.providers.inference.playing import check_charge, play, playing
from tests.providers.inference.recordings import (
    CHAT,
    EMBEDDINGS,
    GENERATE,
    IMAGE,
    MESSAGES,
    NOT_FOUND,
    OPERATIONS,
    WIRE,
    Recording,
    expected_counts,
    listed,
    missing,
    missing_line,
    recordings,
)

if TYPE_CHECKING:
    from domain.pricing.usage import Usage
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

RECORDINGS = recordings()
NOT_FOUND.update(missing(RECORDINGS))
STREAMS = [each for each in RECORDINGS if each.streamed]
PLAYS: list[tuple[Recording, int | None]] = [(each, None) for each in RECORDINGS]
PLAYS += [(each, 1) for each in STREAMS]
PATHS = {EMBEDDINGS: "/v1/embeddings", IMAGE: "/v1/images/generations"}


def test_the_hand_written_fixtures_have_every_operation() -> None:
    """A bare clone plays each operation, whole, streamed and refused (rule: tidy)."""
    by_hand = [each for each in RECORDINGS if each.by_hand]
    assert {each.operation for each in by_hand} == set(OPERATIONS)
    for operation in (CHAT, MESSAGES, GENERATE):
        played = [each for each in by_hand if each.operation == operation]
        assert {each.streamed for each in played} == {True, False}
        assert {each.response["status"] == 200 for each in played} == {True, False}


@pytest.mark.skipif(not WIRE.is_dir(), reason="the closing line names the missing recordings")
def test_no_listed_recording_is_missing() -> None:
    """A folder that shrank would let this file pass without testing much (rule: tidy)."""
    assert missing(RECORDINGS) == {}


def test_what_is_missing_is_named() -> None:
    """Without any recording the closing line counts all of them (rule: tidy)."""
    by_hand = [each for each in RECORDINGS if each.by_hand]
    assert missing(by_hand) == listed()
    assert missing_line({"b": 2, "a": 1}) == "3 recordings of 2 folders missing: a 1, b 2"
    assert missing_line({}) == ""


@pytest.fixture(scope="module")
def gateway(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for all recordings."""
    with playing(server, tmp_path_factory, RECORDINGS) as made:
        yield made


def body_for(recording: Recording) -> dict[str, Any]:
    """What a caller of the gateway sends: OpenAI's form, whatever the provider speaks."""
    asked = recording.record["request"]["body"]
    body = dict(asked) if isinstance(asked, dict) else {}
    body["model"] = f"{recording.provider}/recorded/model"
    if recording.operation == EMBEDDINGS:
        return {"model": body["model"], "input": body.get("input") or "Hello"}
    if recording.operation == IMAGE:
        return {"model": body["model"], "prompt": body.get("prompt") or "A tortoise"}
    if recording.operation != CHAT or not isinstance(body.get("messages"), list):
        body = {"model": body["model"], "messages": [{"role": "user", "content": "Hi"}]}
    body["stream"] = recording.response["sse"]
    return body


@pytest.mark.parametrize(
    ("recording", "seed"),
    PLAYS,
    ids=[f"{each.name}-{seed or 'as-read'}" for each, seed in PLAYS],
)
def test_each_recording_is_settled_to_the_providers_own_usage(
    gateway: RunningGateway, recording: Recording, seed: int | None
) -> None:
    """Valid for the SDK's types, exact to the token, errors normalised and free
    (P4, money rule 4, money rule 6, rule: translation).
    """
    play(gateway.upstream, recording, seed)
    body = body_for(recording)
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post(PATHS.get(recording.operation, "/v1/chat/completions"), json=body)
    story = gateway.story(user, got)
    if got.status_code != 200:
        assert story["status"] == "voided"
        check_error(recording, got.status_code, got.json())
        return
    assert story["status"] == "settled"
    if recording.operation != IMAGE:
        check_charge(story, expected_counts(recording))
    check_reply(recording, got.content, body)


def check_error(recording: Recording, status: int, body: dict[str, Any]) -> None:
    """What the caller can mend or wait for stays; 401, 402 and 403 are ours, never the caller's."""
    error = body["error"]
    assert error["message"]
    assert error["code"]
    theirs = recording.response["status"]
    bad_key = "api key" in recording.response["body"].lower() and theirs == 400
    busy = {429: 429, 503: 503, 529: 503}
    expected = {400: 502 if bad_key else 400, 404: 404, 413: 413, 422: 422, **busy}
    if theirs == 200:
        assert status in (400, 402, 404, 429, 502, 503, 504)
    else:
        assert status == expected.get(theirs, 502)


def check_reply(recording: Recording, content: bytes, body: dict[str, Any]) -> None:
    """OpenAI's own types accept the reply; a provider's text is all there."""
    if recording.operation == EMBEDDINGS:
        CreateEmbeddingResponse.model_validate_json(content)
    elif recording.operation == IMAGE:
        assert ImagesResponse.model_validate_json(content).data
    elif not recording.response["sse"]:
        found = ChatCompletion.model_validate_json(content)
        assert found.choices
        if recording.operation == CHAT and not misfits(recording):
            (sent,) = recording.events()
            assert as_sent([json.loads(content)], [sent]) == [sent]
    else:
        assert content.endswith(b"data: [DONE]\n\n")
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        check_stream(recording, content, asked=asked)


def chunks_of(content: bytes) -> list[dict[str, Any]]:
    """The JSON events of a stream that the gateway sent."""
    lines = [line[5:].strip() for line in content.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def check_stream(recording: Recording, content: bytes, *, asked: bool) -> None:
    """Each chunk is one of OpenAI's; what fits already passes as it came."""
    got = chunks_of(content)
    for event in got:
        if "error" not in event:
            ChatCompletionChunk.model_validate(event)
    if recording.operation == CHAT and not misfits(recording):
        sent = [
            event
            for event in recording.events()
            if "error" not in event and (asked or event.get("choices") or not event.get("usage"))
        ]
        assert as_sent([event for event in got if "error" not in event], sent) == sent
    assert text_of(got) == expected_text(recording)


def as_sent(got: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the caller got without what we say in it: the model's full id, and the cost."""
    for told, event in zip(got, sent, strict=True):
        assert told["model"].endswith("/recorded/model")
        told["model"] = event["model"]
        if told.get("usage"):
            assert told["usage"].pop("cost") >= 0
            if event.get("usage") is None:
                told["usage"] = None
            elif "cost" in event["usage"]:
                told["usage"]["cost"] = event["usage"]["cost"]
        if "usage" not in event:
            told.pop("usage", None)
    return got


def misfits(recording: Recording) -> bool:
    """Whether OpenAI's types refuse some of what the provider sent."""
    kind = ChatCompletionChunk if recording.response["sse"] else ChatCompletion
    for event in recording.events():
        try:
            if "error" not in event:
                kind.model_validate(event)
        except ValueError:
            return True
    return False


def text_of(chunks: list[dict[str, Any]]) -> str:
    """The content of a stream's first choice."""
    deltas = [
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk.get("choices") or ()
        if choice["index"] == 0
    ]
    return "".join(deltas)


def expected_text(recording: Recording) -> str:
    """The text that the provider sent, found in its own form."""
    found: list[str] = []
    for event in recording.events():
        if recording.operation == MESSAGES:
            part = event.get("delta") or event.get("content_block") or {}
            said = part.get("type") in ("text_delta", "text")
            found.append(part.get("text") or "" if said else "")
        elif recording.operation == GENERATE:
            for candidate in event.get("candidates") or ():
                parts = (candidate.get("content") or {}).get("parts") or ()
                found += [p.get("text") or "" for p in parts if not p.get("thought")]
        else:
            for choice in event.get("choices") or ():
                content = (choice.get("delta") or {}).get("content") or ""
                if isinstance(content, list):
                    content = "".join(part.get("text") or "" for part in content)
                found.append(content if not choice.get("index") else "")
    return "".join(found)


@pytest.mark.parametrize(
    "recording", [each for each in STREAMS if each.native], ids=lambda each: each.name
)
def test_the_scanner_does_not_care_where_reads_end(recording: Recording) -> None:
    """Any split of a stream's bytes passes the same bytes on and finds the same usage
    (money rule 6).
    """
    body = recording.response["body"].encode()

    def scan(pieces: list[bytes]) -> tuple[bytes, Usage | None, bool, int]:
        scanner = StreamScanner(keep_usage=False, call_id="c", model="m")
        out = b""
        try:
            for piece in pieces:
                out += scanner.feed(piece)
            out += scanner.end()
        except Exception as error:  # noqa: BLE001 - a broken stream breaks alike.
            out += getattr(error, "passed", b"")
        return out, scanner.usage, scanner.started, scanner.count()

    whole = scan([body])
    for seed in range(5):
        assert scan(recording.pieces(seed)) == whole
    if len(body) < 6_000:
        assert scan([body[i : i + 1] for i in range(len(body))]) == whole
