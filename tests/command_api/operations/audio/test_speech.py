"""Speech: held for what a text can become, streamed as it is made, settled exactly."""

from __future__ import annotations

import base64
import io
import threading
import wave
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.command_api.operations.audio.conftest import (
    ASK,
    SPEECH_PATH,
    audio,
    begin_audio,
    delta,
    done,
    event,
    told,
)
from tests.support.harness import RunningGateway, begin_stream, reply, send_piece

if TYPE_CHECKING:
    from pathlib import Path

CHARACTER = 15_000
"""Nano-USD of a character of local/tts."""
CHARACTERS = len(ASK["input"])


def post(
    gateway: RunningGateway, headers: dict[str, str] | None = None, **body: Any
) -> tuple[httpx.Response, dict[str, Any]]:
    """A call and its story."""
    user = gateway.user()
    with gateway.client(user, **(headers or {})) as client:
        got = client.post(SPEECH_PATH, json={**ASK, **body})
    return got, gateway.story(user, got) if got.status_code == 200 else {}


def test_a_text_is_charged_by_its_characters(speech: RunningGateway) -> None:
    """The hold is the charge, whatever comes of the text (money rule 1, money rule 2)."""
    speech.upstream.answer = lambda connection, _: audio(connection, b"ID3", b"\x00\xff" * 9)
    got, story = post(speech, input="Zoë says “hé”.", instructions="Gently.", speed=0.5)
    assert got.content == b"ID3" + b"\x00\xff" * 9
    assert got.headers["content-type"] == "audio/mpeg"
    assert got.headers["transfer-encoding"] == "chunked"
    cost = len("Zoë says “hé”.") * CHARACTER
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (cost, cost)
    assert (story["usage"]["characters"], story["usage"]["source"]) == (14, "provider")
    (term,) = story["arithmetic"]["terms"]
    assert (term["term"], term["count"], term["usd"]) == ("character", 14, "15")
    sent = speech.upstream.requests[-1]
    assert sent.path == SPEECH_PATH
    assert sent.body == {
        "model": "tts",
        "input": "Zoë says “hé”.",
        "voice": "alloy",
        "instructions": "Gently.",
        "speed": 0.5,
    }


def test_audio_passes_as_it_is_made(speech: RunningGateway) -> None:
    """The caller hears the first piece while the next is not there yet (rule: contract)."""
    heard = threading.Event()

    def answer(connection: Any, _: Any) -> None:
        begin_audio(connection)
        send_piece(connection, b"first")
        assert heard.wait(10)
        send_piece(connection, b"second")
        connection.sendall(b"0\r\n\r\n")

    speech.upstream.answer = answer
    with (
        speech.client(speech.user()) as client,
        client.stream("POST", SPEECH_PATH, json=ASK) as got,
    ):
        pieces = got.iter_raw()
        assert next(pieces) == b"first"
        heard.set()
        assert b"".join(pieces) == b"second"


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_tokens_are_charged_as_the_last_event_tells(
    speech: RunningGateway, stream_format: str
) -> None:
    """Events are asked for, whatever the caller wants: bytes tell no usage (money rule 6)."""

    def answer(connection: Any, _: Any) -> None:
        begin_stream(connection)
        whole = delta(b"\xffone") + delta(b"two") + done() + b"data: [DONE]\n\n"
        for place in range(0, len(whole), 7):
            send_piece(connection, whole[place : place + 7])
        connection.sendall(b"0\r\n\r\n")

    speech.upstream.answer = answer
    got, story = post(speech, model="second/tells", stream_format=stream_format)
    assert speech.upstream.requests[-1].body["stream_format"] == "sse"
    cost = 14 * 600 + 101 * 12_000
    assert story["settled_nano_usd"] == cost <= story["held_nano_usd"]
    assert (story["usage"]["source"], story["usage"]["audio_output_tokens"]) == ("provider", 101)
    if stream_format == "audio":
        assert (got.content, got.headers["content-type"]) == (b"\xffonetwo", "audio/mpeg")
        return
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    first, second, last = told(got.content)
    assert base64.b64decode(first["audio"]) + base64.b64decode(second["audio"]) == b"\xffonetwo"
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115, "cost": cost / 10**9}
    assert last == {"type": "speech.audio.done", "usage": usage}


def test_events_are_made_of_bytes_where_a_provider_has_none(speech: RunningGateway) -> None:
    """OpenAI's events at any model; the provider is not asked for them (rule: contract)."""
    speech.upstream.answer = lambda connection, _: audio(connection, b"bytes")
    got, story = post(speech, stream_format="sse")
    assert "stream_format" not in speech.upstream.requests[-1].body
    first, last = told(got.content)
    assert base64.b64decode(first["audio"]) == b"bytes"
    assert last["usage"]["characters"] == CHARACTERS
    assert last["usage"]["cost"] * 10**9 == story["settled_nano_usd"] == CHARACTERS * CHARACTER


def test_tokens_that_nobody_tells_are_counted(speech: RunningGateway) -> None:
    """By the size of what came, marked, and never beyond the hold (money rule 6, P11, P1)."""
    speech.upstream.answer = lambda connection, _: audio(connection, bytes(96_000))
    _, story = post(speech, model="local/speaks", response_format="pcm")
    assert story["usage"]["source"] == "estimated"
    assert (story["usage"]["input_tokens"], story["usage"]["output_tokens"]) == (3, 40)
    assert story["usage"]["reasoning_tokens"] == 0
    speech.upstream.answer = lambda connection, _: audio(connection, bytes(2 * 2**20))
    _, story = post(speech, model="local/speaks", response_format="opus")
    assert story["usage"]["output_tokens"] == 16 * 20
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


@pytest.mark.parametrize("told_usage", [(-1, 5), (14, 10**9), (10**12, 4), (0, 0)])
def test_a_usage_that_cannot_be_is_not_believed(
    speech: RunningGateway, told_usage: tuple[int, int]
) -> None:
    """A provider cannot charge for more than the text can become (money rule 6, P1)."""

    def answer(connection: Any, _: Any) -> None:
        audio(connection, delta(bytes(100)) + done(*told_usage), kind="text/event-stream")

    speech.upstream.answer = answer
    _, story = post(speech, model="second/tells")
    assert (story["usage"]["source"], story["usage"]["implausible"]) == ("estimated", True)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


def test_the_next_offer_is_asked_before_the_first_byte(speech: RunningGateway) -> None:
    """Held at the dearer price, charged at that of who spoke; one charge (P3, money rule 4)."""

    def answer(connection: Any, request: Any) -> None:
        if len(speech.upstream.requests) % 2:
            reply(connection, b'{"error": {"message": "busy"}}', status=500)
        else:
            audio(connection, b"ok")

    speech.upstream.answer = answer
    speech.upstream.requests.clear()
    got, story = post(speech, model="tts")
    assert got.content == b"ok"
    assert [each["status"] for each in story["attempts"]] == [500, 200]
    assert story["held_nano_usd"] == CHARACTERS * 2 * CHARACTER
    assert story["settled_nano_usd"] == CHARACTERS * CHARACTER * (
        2 if story["provider"] == "second" else 1
    )


def test_a_key_is_answered_once(speech: RunningGateway) -> None:
    """The same bytes and type again; another text is refused (P3)."""
    speech.upstream.answer = lambda connection, _: audio(connection, b"a\x00\xffb")
    user = speech.user()
    with speech.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again = (client.post(SPEECH_PATH, json=ASK) for _ in range(2))
        other = client.post(SPEECH_PATH, json={**ASK, "voice": "ash"})
    assert first.content == again.content == b"a\x00\xffb"
    assert again.headers["content-type"] == first.headers["content-type"] == "audio/mpeg"
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, speech.upstream.calls) == (422, 1)
    assert speech.balance(user)["settled_nano_usd"] == CHARACTERS * CHARACTER


def test_audio_is_not_cached(speech: RunningGateway) -> None:
    """Asked for or not, each call is made (rule: contract)."""
    speech.upstream.answer = lambda connection, _: audio(connection, b"x")
    for _ in range(2):
        got, _ = post(speech, {"x-gatewayz-cache": "on"})
        assert (got.headers["x-gatewayz-cache"], got.content) == ("bypass", b"x")
    assert speech.upstream.calls == 2


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": ""}, "empty_input", "input"),
        ({"input": " \n"}, "empty_input", "input"),
        ({"input": "x" * 4_097}, "invalid_value", "input"),
        ({"input": ["a"]}, "invalid_type", "input"),
        ({"input": None}, "invalid_type", "input"),
        ({"input": "a\0"}, "invalid_text", None),
        ({"instructions": "x" * 4_097}, "invalid_value", "instructions"),
        ({"voice": ""}, "invalid_value", "voice"),
        ({"voice": "v" * 257}, "invalid_value", "voice"),
        ({"voice": {"id": " "}}, "invalid_value", "voice"),
        ({"voice": {"name": "x"}}, "missing_required_parameter", "voice.id"),
        ({"voice": 7}, "invalid_type", "voice"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"stream_format": "both"}, "invalid_value", "stream_format"),
        ({"speed": 0.2}, "invalid_value", "speed"),
        ({"speed": 4.01}, "invalid_value", "speed"),
        ({"speed": -1}, "invalid_value", "speed"),
        ({"speed": "1"}, "invalid_value", "speed"),
        ({"speed": True}, "invalid_value", "speed"),
        ({"speed": [1]}, "invalid_value", "speed"),
        ({"model": ""}, "missing_model", "model"),
        ({"model": "simulator/echo"}, "operation_unpriced", "model"),
        ({"model": "simulator/listen"}, "operation_unpriced", "model"),
        ({"model": "local/m"}, "operation_unpriced", "model"),
        ({"service_tier": "priority"}, "extra_unpriced", "service_tier"),
    ],
)
def test_what_cannot_be_sold_is_refused(
    speech: RunningGateway, body: dict[str, Any], code: str, param: str | None
) -> None:
    """By name, with nothing held and nobody asked (P10, rule: refuse clearly)."""
    got, _ = post(speech, **body)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, code, param), error
    assert (speech.open_holds(), speech.upstream.calls) == (0, 0)


def test_numbers_beyond_reason_are_refused(speech: RunningGateway) -> None:
    """Written as JSON alone can (rule: bounded)."""
    with speech.client(speech.user()) as client:
        for speed in ("1e999999999", "1" * 100, "1e-5", "-0", "0." + "3" * 99):
            raw = f'{{"model": "local/tts", "input": "x", "voice": "a", "speed": {speed}}}'
            got = client.post(SPEECH_PATH, content=raw)
            assert (got.status_code, got.json()["error"]["param"]) == (400, "speed"), speed
        assert client.get(SPEECH_PATH).status_code == 405


def test_a_model_that_speaks_does_not_chat(speech: RunningGateway) -> None:
    """Refused by name, before anything is held (P10)."""
    for model in ("local/tts", "local/speaks", "simulator/speak", "simulator/recite"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        got = speech.chat(speech.user(), body)
        assert (got.status_code, got.json()["error"]["code"]) == (400, "operation_unpriced")


def test_a_call_that_cannot_be_paid_says_what_it_could_cost(speech: RunningGateway) -> None:
    """A 402 before the provider (P1, P2)."""
    user = speech.user(grant=CHARACTERS * CHARACTER - 1)
    with speech.client(user) as client:
        got = client.post(SPEECH_PATH, json=ASK)
    assert (got.status_code, got.json()["error"]["code"]) == (402, "insufficient_credits")
    assert got.json()["error"]["needed_nano_usd"] == CHARACTERS * CHARACTER
    assert speech.upstream.calls == 0


def test_a_wav_out_of_events_is_called_one(speech: RunningGateway) -> None:
    """Whatever was asked for: the simulator has no other container (rule: wire)."""
    with speech.client(speech.user()) as client:
        for form, kind in (("mp3", "audio/wav"), ("wav", "audio/wav"), ("pcm", "audio/pcm")):
            got = client.post(
                SPEECH_PATH, json={**ASK, "model": "simulator/recite", "response_format": form}
            )
            assert (got.headers["content-type"], got.status_code) == (kind, 200)
            assert got.content.startswith(b"RIFF") is (form != "pcm")


def test_openais_own_client(speech: RunningGateway, tmp_path: Path) -> None:
    """create, with_streaming_response, stream_to_file: a WAV that plays (rule: contract)."""
    client = openai.OpenAI(
        base_url=f"{speech.url}/v1", api_key=speech.user().api_key, max_retries=0
    )
    asked: Any = {"input": "Made without a key.", "voice": "alloy"}
    whole = client.audio.speech.create(model="simulator/speak", **asked)
    with wave.open(io.BytesIO(whole.content)) as made:
        assert (made.getframerate(), made.getnchannels(), made.getnframes()) == (24_000, 1, 9_600)
    whole.write_to_file(tmp_path / "whole.wav")
    with client.audio.speech.with_streaming_response.create(
        model="simulator/recite", response_format="wav", **asked
    ) as streamed:
        assert streamed.headers["content-type"] == "audio/wav"
        streamed.stream_to_file(tmp_path / "streamed.wav")
    assert (tmp_path / "whole.wav").read_bytes() == (tmp_path / "streamed.wav").read_bytes()
    with client.audio.speech.with_streaming_response.create(
        model="simulator/recite", response_format="pcm", stream_format="sse", **asked
    ) as events:
        *pieces, last = told(events.read())
    samples = b"".join(base64.b64decode(each["audio"]) for each in pieces)
    assert samples == whole.content[44:]
    assert last["usage"]["output_tokens"] == 8
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(model="simulator/echo", **asked)


@pytest.mark.parametrize("behaviour", ["fail_after_chunks", "error_after_chunks"])
def test_the_simulator_breaks_off_as_it_is_told(speech: RunningGateway, behaviour: str) -> None:
    """As a provider might (rule: contract)."""
    body = {**ASK, "model": "simulator/speak", "simulator": {behaviour: 1}}
    with (
        speech.client(speech.user()) as client,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        client.post(SPEECH_PATH, json=body)
    _, story = post(speech, model="simulator/recite", simulator={"usage": "none"})
    assert story["usage"]["source"] == "estimated"


def test_events_that_nobody_knows_are_passed_over(speech: RunningGateway) -> None:
    """As comments are, and what follows the end (rule: wire)."""
    whole = b": hi\n\n" + event({"type": "speech.audio.new"}) + delta(b"a") + done() + delta(b"b")

    def answer(connection: Any, _: Any) -> None:
        audio(connection, whole, kind="text/event-stream; charset=utf-8")

    speech.upstream.answer = answer
    got, story = post(speech, model="second/tells")
    assert (got.content, story["usage"]["source"]) == (b"a", "provider")
