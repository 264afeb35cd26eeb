"""Transcripts as they are heard: passed on, and charged by their last event or our own count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.command_api.operations.audio.conftest import begin_audio, event, told
from tests.command_api.operations.audio.test_transcriptions import (
    PATH,
    SECOND,
    answer_with,
    audio,
    post,
    wav,
)
from tests.support.harness import RunningGateway, eventually, send_piece

if TYPE_CHECKING:
    import socket
    from pathlib import Path

__all__ = ["audio"]
EVENTS = "text/event-stream"
ASK = {"model": "local/hears", "stream": "true"}
BY_LENGTH = {"model": "local/whisper", "stream": "true"}
USAGE = {
    "type": "tokens",
    "input_tokens": 40,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 30},
    "output_tokens": 5,
    "total_tokens": 45,
}
COST = 10 * 2_500 + 30 * 6_000 + 5 * 10_000


def delta(text: Any, **more: Any) -> bytes:
    """A piece of a transcript."""
    return event({"type": "transcript.text.delta", "delta": text, **more})


def done(text: Any, **more: Any) -> bytes:
    """The last event."""
    return event({"type": "transcript.text.done", "text": text, **more})


def stream_with(gateway: RunningGateway, *pieces: bytes, ends: bool = True) -> None:
    """Let the upstream answer so; one that does not end breaks off."""

    def answer(connection: socket.socket, _: Any) -> str:
        begin_audio(connection, EVENTS)
        for piece in pieces:
            send_piece(connection, piece)
        if ends:
            connection.sendall(b"0\r\n\r\n")
        return "close"

    gateway.upstream.answer = answer


def test_events_pass_as_they_come_and_the_last_tells_the_cost(audio: RunningGateway) -> None:
    """Byte for byte but for the last, which is charged first (money rule 6, rule: contract)."""
    first = b'data: {"type":"transcript.text.delta", "delta":"Hi", "logprobs":[{"token":"Hi"}]}'
    unknown = event({"type": "transcript.text.later", "delta": "?"})
    end = done("Hi you", usage=USAGE) + b"data: [DONE]\n\n"
    stream_with(audio, first[:20], first[20:] + b"\n\n", unknown, delta(" you") + end)
    got, story = post(audio, ASK)
    assert got.headers["content-type"].startswith(EVENTS)
    assert got.content.startswith(first + b"\n\n" + b'data: {"type": "transcript.text.delta"')
    *_, last = told(got.content)
    assert last["usage"] == {**USAGE, "cost": COST / 10**9}
    assert (last["type"], last["text"], len(told(got.content))) == (
        "transcript.text.done",
        "Hi you",
        3,
    )
    assert story["settled_nano_usd"] == COST
    assert story["held_nano_usd"] >= COST
    assert b'name="stream"\r\n\r\ntrue\r\n' in audio.upstream.requests[-1].raw


def test_speakers_pass_too(audio: RunningGateway) -> None:
    """Segments that tell the text again are not counted twice (money rule 6)."""
    segment = {"type": "transcript.text.segment", "id": "s", "start": 0.0, "end": 1.0}
    told_again = event({**segment, "text": "abcdefgh", "speaker": "A"})
    stream_with(audio, delta("abcdefgh", segment_id="s"), told_again, done("abcdefgh"))
    got, story = post(audio, {**ASK, "response_format": "diarized_json"})
    assert [each["type"].rsplit(".", 1)[1] for each in told(got.content)] == [
        *("delta", "segment", "done"),
    ]
    assert (story["usage"]["source"], story["usage"]["output_tokens"]) == ("estimated", 2)
    assert told(got.content)[-1]["usage"]["output_tokens"] == 2


@pytest.mark.parametrize(
    ("usage", "seconds", "marked"),
    [
        ({"type": "duration", "seconds": 1.6}, 2, False),
        ({"type": "duration", "seconds": 4}, 3, True),
        ({"type": "duration", "seconds": -1}, 3, True),
        ({"type": "duration", "seconds": "endless"}, 3, True),
        (USAGE, 3, False),
        (None, 3, False),
    ],
)
def test_a_length_is_charged_where_it_is_the_price(
    audio: RunningGateway, usage: Any, seconds: int, marked: bool
) -> None:
    """The last event's where it can be, else the file's own (money rule 2, money rule 6)."""
    stream_with(audio, delta("Hi"), done("Hi", usage=usage))
    got, story = post(audio, BY_LENGTH)
    assert story["settled_nano_usd"] == seconds * SECOND
    assert story["usage"].get("implausible", False) is marked
    assert told(got.content)[-1]["usage"]["cost"] == seconds * SECOND / 10**9


@pytest.mark.parametrize(
    "usage",
    [
        {**USAGE, "input_tokens": -1},
        {**USAGE, "input_tokens": 10**12},
        {**USAGE, "output_tokens": 10**9},
        {**USAGE, "input_tokens": "many"},
        "?",
        [1],
    ],
)
def test_a_report_that_cannot_be_is_not_believed(audio: RunningGateway, usage: Any) -> None:
    """Three seconds and two tokens of our own count, told so (money rule 6, P1)."""
    stream_with(audio, delta("abcd"), delta("efgh"), done("abcdefgh", usage=usage))
    got, story = post(audio, ASK)
    assert story["settled_nano_usd"] == 30 * 6_000 + 2 * 10_000
    last = told(got.content)[-1]["usage"]
    assert (last["input_tokens"], last["output_tokens"]) == (30, 2)


@pytest.mark.parametrize(
    "pieces",
    [
        (delta("abcdefgh"),),
        (delta("abcdefgh"), b"data: {no json}\n\n"),
        (delta("abcdefgh"), delta(7)),
        (delta("abcdefgh"), done(None)),
        (delta("abcdefgh"), event({"type": "error", "error": {"message": "lost"}})),
        (delta("abcdefgh"), b"data: " + b"x" * 20_000_000),
        (delta("abcdefgh"), *[event({"type": "later", "x": "y" * 60_000})] * 50),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_that_breaks_is_charged_for_what_came(
    audio: RunningGateway, pieces: tuple[bytes, ...], ends: bool
) -> None:
    """It ends with an error, and no last event that never came (P2, money rule 4)."""
    stream_with(audio, *pieces, ends=ends)
    got, story = post(audio, ASK)
    first, *_, last = told(got.content)
    assert first["delta"] == "abcdefgh"
    assert "error" in last
    assert story["settled_nano_usd"] == 30 * 6_000 + 2 * 10_000
    assert story["usage"]["source"] == "estimated"


def test_more_text_than_can_be_said_is_cut(audio: RunningGateway) -> None:
    """No more than a minute's talk is charged for three seconds of audio (P1, rule: bounded)."""
    stream_with(audio, *[delta("word " * 400)] * 20, done("x", usage=USAGE))
    got, story = post(audio, BY_LENGTH)
    assert "error" in told(got.content)[-1]
    assert len(got.content) < 30_000
    assert story["settled_nano_usd"] == 3 * SECOND


@pytest.mark.parametrize(
    "pieces",
    [(), (delta(""),), (b"data: {}\n\n",), (event({"error": {"message": "no"}}),), (delta(1),)],
)
def test_a_stream_without_text_that_never_ends_charges_nothing(
    audio: RunningGateway, pieces: tuple[bytes, ...]
) -> None:
    """An honest status, and the hold is released (money rule 4)."""
    stream_with(audio, *pieces)
    got, _ = post(audio, ASK)
    assert got.status_code >= 400
    assert audio.open_holds() == 0


def test_silence_is_a_transcript_too(audio: RunningGateway) -> None:
    """An empty text, by the provider's report (money rule 6)."""
    stream_with(audio, delta(""), done("", usage={**USAGE, "output_tokens": 0, "total_tokens": 40}))
    got, story = post(audio, ASK)
    assert [each["type"][-5:] for each in told(got.content)] == ["delta", ".done"]
    assert story["settled_nano_usd"] == COST - 5 * 10_000


def test_a_caller_who_hangs_up_pays_for_what_came(audio: RunningGateway) -> None:
    """The audio as it is long, and the text that came (P11, money rule 5)."""

    def answer(connection: socket.socket, _: Any) -> str:
        begin_audio(connection, EVENTS)
        send_piece(connection, delta("abcdefgh"))
        while connection.recv(65_536):
            pass
        return "close"

    audio.upstream.answer = answer
    user = audio.user()
    files = {"file": ("a.wav", wav(3))}
    with audio.client(user) as client, client.stream("POST", PATH, data=ASK, files=files) as got:
        call_id = got.headers["x-gatewayz-call-id"]
        next(got.iter_bytes())
    with audio.client(user) as client:
        eventually(lambda: client.get(f"/v1/calls/{call_id}").json()["status"] == "settled")
        story = client.get(f"/v1/calls/{call_id}").json()
    assert story["settled_nano_usd"] == 30 * 6_000 + 2 * 10_000


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_model_that_answers_whole_is_told_in_events(audio: RunningGateway, form: str) -> None:
    """OpenAI's whisper-1 overhears `stream`: it is charged, and heard (P2, rule: contract)."""
    body: Any = {"text": "Hi.", "usage": {"type": "duration", "seconds": 2}}
    answer_with(audio.upstream, body)
    if form == "text":
        raw = b"Hi."
        audio.upstream.answer = lambda connection, _: connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(raw), raw)
        )
    got, story = post(audio, {**BY_LENGTH, "response_format": form})
    (last,) = told(got.content)
    assert (last["type"], last["text"]) == ("transcript.text.done", "Hi.")
    assert story["settled_nano_usd"] == (2 if form == "json" else 3) * SECOND


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {"words": 1}, b"{", b"[]"])
def test_a_whole_answer_that_is_none_charges_nothing(audio: RunningGateway, body: Any) -> None:
    """As one that was asked for whole (money rule 4)."""
    answer_with(audio.upstream, body)
    got, _ = post(audio, BY_LENGTH)
    assert got.status_code >= 400
    assert audio.open_holds() == 0


def test_a_key_is_answered_once_with_the_same_events(audio: RunningGateway) -> None:
    """Byte for byte, as a stream; one charge (P3)."""
    stream_with(audio, delta("Hi"), done("Hi", usage=USAGE))
    user = audio.user()
    with audio.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again = (
            client.post(PATH, data=ASK, files={"file": ("a.wav", wav(1))}) for _ in range(2)
        )
    assert first.content == again.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (again.headers["idempotent-replayed"], audio.upstream.calls) == ("true", 1)


@pytest.mark.parametrize(
    ("path", "data", "param"),
    [
        ("/v1/audio/translations", {}, "stream"),
        (PATH, {"stream": "perhaps"}, "stream"),
        (PATH, {"response_format": "srt"}, "response_format"),
        (PATH, {"response_format": "verbose_json"}, "response_format"),
    ],
)
def test_what_has_no_events_is_refused(
    audio: RunningGateway, path: str, data: dict[str, str], param: str
) -> None:
    """By name, with nothing held (rule: refuse clearly)."""
    got, _ = post(audio, {**ASK, **data}, path=path)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert (audio.open_holds(), audio.upstream.calls) == (0, 0)


# The client warns of forms of its own calls that it will give up; they are still sent.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_client(audio: RunningGateway, tmp_path: Path) -> None:
    """Deltas, segments, and the whole at the end (rule: contract)."""
    base = f"{audio.url}/v1"
    client = openai.OpenAI(base_url=base, api_key=audio.user().api_key, max_retries=0)
    (path := tmp_path / "a.wav").write_bytes(wav(2))
    heard = f"The simulator heard {len(wav(2))} bytes."
    for form in ("json", "diarized_json"):
        asked: Any = {"response_format": form}
        events: list[Any] = list(
            client.audio.transcriptions.create(
                model="simulator/listen", file=path, stream=True, **asked
            )
        )
        deltas = [each.delta for each in events if each.type == "transcript.text.delta"]
        segments = [each.text for each in events if each.type == "transcript.text.segment"]
        assert "".join(deltas) == heard == events[-1].text
        assert segments == ([heard] if form == "diarized_json" else [])
        assert json.loads(events[-1].usage.model_dump_json())["seconds"] == 2
