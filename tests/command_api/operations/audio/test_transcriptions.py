"""Transcriptions and translations: held for what a file can be, settled for what it was."""

from __future__ import annotations

import io
import json
import resource
import struct
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support.harness import RunningGateway, ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from event_store.postgres.database import Database

MODELS = """
[[provider.model]]
id = "whisper"
per_minute = "0.006"
[[provider.model]]
id = "hears"
input_per_million = "2.5"
output_per_million = "10"
audio_input_per_million = "6"
max_output_tokens = 2000
output_modalities = ["transcription"]
[[provider]]
name = "second"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "whisper"
per_minute = "0.009"
"""
PATH = "/v1/audio/transcriptions"
SECOND = 100_000
"""Nano-USD of a second of whisper."""


def wav(seconds: int) -> bytes:
    """Silence of 16 kHz."""
    size = seconds * 32_000
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + bytes(size)


@pytest.fixture
def audio(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with models of both prices."""
    text = MODELS.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


def answer_with(upstream: ScriptedUpstream, body: Any, status: int = 200) -> None:
    """Let the upstream answer so."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    upstream.answer = lambda connection, _: reply(connection, raw, status=status)


def post(
    gateway: RunningGateway, data: dict[str, Any], file: bytes | None = None, path: str = PATH
) -> tuple[httpx.Response, dict[str, Any]]:
    """A call and its story."""
    user = gateway.user()
    files = {"file": ("a.wav", wav(3) if file is None else file, "audio/wav")}
    with gateway.client(user) as client:
        got = client.post(path, data=data, files=files)
    return got, gateway.story(user, got) if got.status_code == 200 else {}


@pytest.mark.parametrize("path", [PATH, "/v1/audio/translations"])
def test_a_file_is_held_for_its_length_and_settled_for_the_providers(
    audio: RunningGateway, path: str
) -> None:
    """The header bounds, `usage.seconds` charges; the form passes (money rule 2, money rule 6)."""
    answer_with(audio.upstream, {"text": "Hi.", "usage": {"type": "duration", "seconds": 2.5}})
    data = {"model": "local/whisper", "prompt": "é", "temperature": "0"}
    got, story = post(audio, data, path=path)
    assert got.json() == {
        "text": "Hi.",
        "usage": {"type": "duration", "seconds": 2.5, "cost": 0.0003},
    }
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (3 * SECOND, 3 * SECOND)
    assert (story["usage"]["audio_seconds"], story["usage"]["source"]) == (3, "provider")
    assert story["arithmetic"]["terms"][0]["term"] == "second"
    sent = audio.upstream.requests[-1]
    assert sent.path == path
    assert sent.raw.count(wav(3)) == 1
    assert b'name="model"\r\n\r\nwhisper\r\n' in sent.raw
    assert 'name="prompt"\r\n\r\né\r\n'.encode() in sent.raw


def test_a_length_that_nobody_tells_is_counted(audio: RunningGateway) -> None:
    """By the size, and marked (money rule 6)."""
    answer_with(audio.upstream, {"text": ""})
    got, story = post(audio, {"model": "local/whisper"}, b"OggS" + bytes(39_996))
    assert got.json() == {"text": ""}
    assert story["held_nano_usd"] == 54 * SECOND
    assert (story["settled_nano_usd"], story["usage"]["source"]) == (10 * SECOND, "estimated")


def test_a_length_that_cannot_be_is_not_believed(audio: RunningGateway) -> None:
    """Nobody pays more than his file can be (money rule 6, P1)."""
    for told in (4, -1, "NaN", 1e300, [1]):
        answer_with(audio.upstream, {"text": "x", "duration": told})
        _, story = post(audio, {"model": "local/whisper", "response_format": "verbose_json"})
        assert (story["settled_nano_usd"], story["usage"]["implausible"]) == (3 * SECOND, True)


def test_tokens_are_charged_as_reported(audio: RunningGateway) -> None:
    """Audio, text and output each at its price (money rule 1)."""
    usage = {
        "type": "tokens",
        "input_tokens": 40,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 30},
        "output_tokens": 5,
        "total_tokens": 45,
    }
    answer_with(audio.upstream, {"text": "Hi.", "usage": usage})
    got, story = post(audio, {"model": "local/hears"})
    assert story["settled_nano_usd"] == 10 * 2_500 + 30 * 6_000 + 5 * 10_000
    assert got.json()["usage"]["type"] == "tokens"
    assert story["held_nano_usd"] >= story["settled_nano_usd"]
    answer_with(audio.upstream, {"text": "Hi there."})
    _, story = post(audio, {"model": "local/hears"})
    assert (story["usage"]["source"], story["usage"]["audio_input_tokens"]) == ("estimated", 30)


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_text_passes_as_it_is(audio: RunningGateway, form: str) -> None:
    """Byte for byte, and never as a page that a browser runs (rule: contract)."""
    answer_with(audio.upstream, b"WEBVTT\n\n<b>Hi</b>\n")
    got, story = post(audio, {"model": "local/whisper", "response_format": form})
    assert got.content == b"WEBVTT\n\n<b>Hi</b>\n"
    assert got.headers["content-type"] == "text/plain; charset=utf-8"
    assert (story["settled_nano_usd"], story["status"]) == (3 * SECOND, "settled")


def test_the_next_offer_gets_the_file_again(audio: RunningGateway) -> None:
    """The file waits on the disk until somebody has answered; one charge (P3)."""
    answers = [(500, b"{}"), (200, b'{"text": "Hi."}')]

    def answer(connection: socket.socket, _: Any) -> None:
        status, body = answers.pop(0)
        reply(connection, body, status=status)

    audio.upstream.answer = answer
    got, story = post(audio, {"model": "whisper"})
    assert got.json() == {"text": "Hi."}
    assert [each["status"] for each in story["attempts"]] == [500, 200]
    assert all(each.raw.count(wav(3)) == 1 for each in audio.upstream.requests[-2:])
    assert story["held_nano_usd"] == 3 * 150_000


def test_a_key_is_answered_once(audio: RunningGateway) -> None:
    """The same form again is the first answer; another file is refused (P3)."""
    answer_with(audio.upstream, b"first")
    user = audio.user()
    data = {"model": "local/whisper", "response_format": "text"}
    with audio.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again, other = (
            client.post(PATH, data=data, files={"file": ("a.wav", wav(each))}) for each in (1, 1, 2)
        )
    assert (first.content, again.content) == (b"first", b"first")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, audio.upstream.calls) == (422, 1)


@pytest.mark.parametrize(
    ("data", "file", "code"),
    [
        ({}, b"x", "invalid_form"),
        ({"model": "local/whisper"}, b"", "invalid_form"),
        ({"model": "local/whisper", "stream": "perhaps"}, b"x", "invalid_value"),
        ({"model": "local/whisper", "response_format": "mp3"}, b"x", "invalid_value"),
        ({"model": "local/whisper", "n": "2"}, b"x", "invalid_form"),
        ({"model": ["a", "b"]}, b"x", "invalid_form"),
        ({"model": "local/whisper", "prompt": "x" * 70_000}, b"x", "invalid_form"),
        ({"model": "local/whisper", "prompt": "a\0b"}, b"x", "invalid_text"),
        ({"model": "local/m"}, b"x", "operation_unpriced"),
        ({"model": "simulator/echo"}, b"x", "operation_unpriced"),
        ({"model": "local/whisper"}, wav(1)[:44] + bytes(0), None),
    ],
)
def test_what_cannot_be_sold_is_refused(
    audio: RunningGateway, data: dict[str, Any], file: bytes, code: str | None
) -> None:
    """By name, with nothing held (P10, rule: wire)."""
    answer_with(audio.upstream, {"text": "Hi."})
    got, _ = post(audio, data, file)
    if code is None:
        assert got.status_code == 200
        return
    assert (got.status_code, got.json()["error"]["code"]) == (400, code)
    assert (audio.open_holds(), audio.upstream.calls) == (0, 0)


@pytest.mark.parametrize("model", ["local/whisper", "local/hears"])
def test_a_model_that_hears_does_not_chat(audio: RunningGateway, model: str) -> None:
    """Refused by name, before anything is held (P10)."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    got = audio.chat(audio.user(), body)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "operation_unpriced")


def test_forms_that_are_none_are_refused(audio: RunningGateway) -> None:
    """Two files, a nameless one, half a form, JSON: each a 400 (rule: wire)."""
    part = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\nx\r\n'
    file = part % (b"file", b'; filename="a"')
    bodies = [
        (b"multipart/form-data; boundary=b", file + file + b"--b--"),
        (b"multipart/form-data; boundary=b", part % (b"file", b"") + b"--b--"),
        (b"multipart/form-data; boundary=b", part % (b"other", b'; filename="a"') + b"--b--"),
        (b"multipart/form-data; boundary=b", part % (b"model", b"") + b"--b--"),
        (b"multipart/form-data; boundary=b", file),
        (b"multipart/form-data; boundary=b", b"x" * 100_000),
        (b"multipart/form-data; boundary=b", part % (b"a", b"") * 10_000),
        (b"multipart/form-data", file + b"--b--"),
        (b"application/json", b'{"model": "local/whisper"}'),
    ]
    user = audio.user()
    for kind, body in bodies:
        with audio.client(user) as client:
            got = client.post(PATH, content=body, headers={"content-type": kind.decode()})
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_form"), body[:80]
    assert audio.open_holds() == 0


def test_a_file_that_is_too_large_is_refused(audio: RunningGateway) -> None:
    """By its declared length, and where none is declared by what came (rule: bounded)."""
    got, _ = post(audio, {"model": "local/whisper"}, bytes(26 * 2**20))
    assert got.status_code == 413
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield head
        for _ in range(27):
            yield bytes(2**20)

    with audio.client(audio.user()) as client:
        got = client.post(
            PATH,
            content=endless(),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
    assert (got.status_code, audio.open_holds()) == (413, 0)


def test_audio_that_is_too_long_is_refused(audio: RunningGateway) -> None:
    """A header that tells more than the maximum of minutes says so at once (rule: bounded)."""
    slow = bytearray(wav(1)[:44])
    slow[24:36] = struct.pack("<IIHH", 100, 100, 1, 8)
    got, _ = post(audio, {"model": "local/whisper"}, bytes(slow) + bytes(2 * 2**20))
    assert (got.status_code, got.json()["error"]["code"]) == (400, "audio_too_long")


def test_a_failed_provider_charges_nothing(audio: RunningGateway) -> None:
    """An error that came with 200, or no transcript, voids the call (money rule 3)."""
    bodies: tuple[Any, ...] = ({"error": {"message": "no"}}, {"words": []}, b"", b"[]")
    for body in bodies:
        answer_with(audio.upstream, body)
        got, _ = post(audio, {"model": "local/whisper"})
        assert got.status_code >= 400
    assert audio.open_holds() == 0


# The client warns of forms of its own calls that it will give up; they are still sent.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_client(audio: RunningGateway, tmp_path: Path) -> None:
    """Bytes, a file and a path; json, text and verbose_json (rule: contract)."""
    base = f"{audio.url}/v1"
    client = openai.OpenAI(base_url=base, api_key=audio.user().api_key, max_retries=0)
    (path := tmp_path / "a.wav").write_bytes(wav(2))
    heard = f"The simulator heard {len(wav(2))} bytes."
    with path.open("rb") as opened:
        for file in (("a.wav", wav(2)), io.BytesIO(wav(2)), path, opened):
            made: Any = client.audio.transcriptions.create(model="simulator/listen", file=file)
            assert made.text == heard
    verbose: Any = client.audio.transcriptions.create(
        model="simulator/listen",
        file=path,
        response_format="verbose_json",
        timestamp_granularities=["segment", "word"],
    )
    assert (verbose.duration, verbose.segments[0].text) == (3.0, heard)
    said: Any = client.audio.translations.create(model="simulator/listen", file=path)
    assert said.text == heard
    text: Any = client.audio.transcriptions.create(
        model="simulator/listen", file=path, response_format="text"
    )
    assert str(text).strip() == heard
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model="simulator/echo", file=path)


@pytest.mark.parametrize("megabytes", [64])
def test_a_large_file_is_never_in_memory(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    megabytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it take the room of bodies: that is a mebibyte here (rule: bounded)."""
    monkeypatch.setenv("GATEWAYZ_AUDIO_FILE_BYTES_MAX", str(megabytes * 2**20))
    monkeypatch.setenv("GATEWAYZ_BODIES_BYTES_MAX", str(2**20))
    monkeypatch.setenv("GATEWAYZ_BODY_BYTES_MAX", str(2**20))
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        piece = bytes(2**16)
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        tail = (
            b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsimulator/listen'
            b"\r\n--b--\r\n"
        )

        def body() -> Iterator[bytes]:
            yield head
            for _ in range(megabytes * 16):
                yield piece
            yield tail

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        user = gateway.user(grant=100 * 10**9)
        with gateway.client(user) as client:
            got = client.post(
                PATH,
                content=body(),
                headers={"content-type": "multipart/form-data; boundary=b"},
            )
        assert got.json()["text"] == f"The simulator heard {megabytes * 2**20} bytes."
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 24 * 1024, f"{grown} KiB"
        gateway.verified()
