"""OpenRouter's real traffic, replayed over HTTP, each call settled to the provider's own usage.

The recordings' folder is GATEWAYZ_WIRE_DIR, by default ../shared/wire; without it hand-written
fixtures of the same shapes are used, and the run says so.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from command_api.sse import StreamScanner
from command_api.usage_report import parse_usage
from tests.harness import begin_stream, reply, running_gateway, send_piece

if TYPE_CHECKING:
    import socket

    from domain.usage import Usage
    from event_store.database import Database
    from tests.harness import Request, RunningGateway, ScriptedUpstream

ROOT = Path(__file__).parents[2]
WIRE = Path(os.environ.get("GATEWAYZ_WIRE_DIR", ROOT.parent / "shared" / "wire"))
FIXTURES = Path(__file__).parent / "fixtures"


def recordings() -> list[Path]:
    """Chat recordings of OpenRouter, or the hand-written fixtures."""
    found = sorted((WIRE / "openrouter").glob("chat-*.json"))
    return found or sorted(FIXTURES.glob("chat-*.json"))


RECORDINGS = recordings()
STREAMS = [
    path
    for path in RECORDINGS
    if (response := json.loads(path.read_text())["response"])["sse"] and response["status"] == 200
]
PLAYS: list[tuple[Path, int | None]] = [(path, None) for path in RECORDINGS]
PLAYS += [(path, seed) for path in STREAMS for seed in (1, 2)]
HANDWRITTEN = RECORDINGS[0].parent == FIXTURES


def test_say_which_recordings_are_used() -> None:
    """A run on hand-written fixtures says so."""
    assert RECORDINGS
    if HANDWRITTEN:
        pytest.skip(f"{WIRE} is not there: replayed hand-written fixtures only")


def pieces_of(record: dict[str, Any], *, seed: int | None) -> list[bytes]:
    """The body as the network brought it, or split at random bytes."""
    body = record["response"]["body"].encode()
    chunks = record["response"].get("chunks")
    if seed is None and chunks:
        parts = [c.encode() if isinstance(c, str) else bytes(str(c), "utf-8") for c in chunks]
        if b"".join(parts) == body:
            return parts
    if seed is None:
        return [body]
    dice = random.Random(seed)
    cuts = sorted({dice.randrange(1, max(2, len(body))) for _ in range(min(40, len(body)))})
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]


def data_events(body: str) -> list[dict[str, Any]]:
    """The JSON events of a stream."""
    lines = [line[5:].strip() for line in body.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


def provider_usage(record: dict[str, Any]) -> Usage | None:
    """The provider's own last report, read without the gateway's scanner."""
    response = record["response"]
    if response["sse"]:
        reports = [event["usage"] for event in data_events(response["body"]) if event.get("usage")]
        return parse_usage(reports[-1]) if reports else None
    report = json.loads(response["body"]).get("usage")
    return parse_usage(report) if report else None


@pytest.fixture(scope="module")
def gateway(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for all recordings; its upstream plays OpenRouter, a built-in provider."""
    from tests.conftest import fresh_database
    from tests.harness import ScriptedUpstream

    upstream = ScriptedUpstream(lambda connection, _: reply(connection, b'{"data":[]}'))
    providers = f"""
[[provider]]
name = "openrouter"
base_url = "{upstream.base_url}"
api_key = "sk-or"
[[provider.model]]
id = "recorded/model"
input_per_million = "0.15"
output_per_million = "0.60"
cached_input_per_million = "0.0375"
"""
    with (
        fresh_database(server) as database,
        running_gateway(
            database, tmp_path_factory.mktemp("home"), upstream, providers=providers
        ) as made,
    ):
        yield made
    upstream.close()


def play(upstream: ScriptedUpstream, record: dict[str, Any], seed: int | None) -> None:
    """Answer with the recording."""
    response = record["response"]

    def answer(connection: socket.socket, request: Request) -> None:
        if request.path.endswith("/models"):
            reply(connection, b'{"data":[]}')
        elif response["sse"] and response["status"] == 200:
            begin_stream(connection)
            for piece in pieces_of(record, seed=seed):
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
        else:
            kept = {
                name: value
                for name, value in response["headers"].items()
                if name not in ("transfer-encoding", "content-length")
            }
            reply(connection, response["body"].encode(), status=response["status"], headers=kept)

    upstream.answer = answer


@pytest.mark.parametrize(
    ("path", "seed"), PLAYS, ids=[f"{path.stem}-{seed or 'as-read'}" for path, seed in PLAYS]
)
def test_each_recording_is_settled_to_the_providers_own_usage(
    gateway: RunningGateway, path: Path, seed: int | None
) -> None:
    """Valid for the SDK's types, exact to the token, errors normalised and free."""
    record = json.loads(path.read_text())
    play(gateway.upstream, record, seed)
    body = {**record["request"]["body"], "model": "openrouter/recorded/model"}
    if not isinstance(body.get("messages"), list):  # The recorder cut a long request off.
        body["messages"] = [{"role": "user", "content": "Hi"}]
        body["stream"] = record["response"]["sse"]
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post("/v1/chat/completions", json=body)
    story = gateway.story(user, got)
    if got.status_code != 200:
        assert story["status"] == "voided"
        assert got.json()["error"]["message"]
        check_status(record, got.status_code)
        return
    usage = provider_usage(record)
    assert story["status"] == "settled"
    assert usage is not None
    assert story["usage"] == usage.as_dict()
    exact = 1_000 * (
        (usage.input_tokens - usage.cached_input_tokens) * Decimal("0.15")
        + usage.cached_input_tokens * Decimal("0.0375")
        + usage.output_tokens * Decimal("0.60")
    )
    assert Decimal(story["arithmetic"]["exact_nano_usd"]) == exact
    assert abs(story["settled_nano_usd"] - exact) <= Decimal("0.5")
    check_reply(record, got.content, asked=asked)


def check_status(record: dict[str, Any], status: int) -> None:
    """429 stays, 400 and 404 stay, 401 and 403 are ours to mend."""
    theirs = record["response"]["status"]
    expected = {400: 400, 404: 404, 422: 422, 429: 429, 401: 502, 402: 502, 403: 502}
    if theirs != 200:
        assert status == expected.get(theirs, 502)


def check_reply(record: dict[str, Any], content: bytes, *, asked: bool) -> None:
    """The caller gets what the provider sent."""
    sent = record["response"]["body"]
    if not record["response"]["sse"]:
        assert content == sent.encode()
        ChatCompletion.construct(**json.loads(content))
        return
    assert content.endswith(b"data: [DONE]\n\n")
    got = data_events(content.decode())
    expected = [
        event
        for event in data_events(sent)
        if asked or event.get("choices") or not event.get("usage")
    ]
    assert got == expected
    for event in got:
        ChatCompletionChunk.construct(**event)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_the_scanner_does_not_care_where_reads_end(path: Path) -> None:
    """Any split of a stream's bytes passes the same bytes on and finds the same usage."""
    record = json.loads(path.read_text())
    body = record["response"]["body"].encode()

    def scan(pieces: list[bytes]) -> tuple[bytes, Usage | None, bool, int]:
        scanner = StreamScanner(keep_usage=False)
        out = b"".join(scanner.feed(piece) for piece in pieces) + scanner.end()
        return out, scanner.usage, scanner.started, scanner.count()

    whole = scan([body])
    for seed in range(5):
        assert scan(pieces_of(record, seed=seed)) == whole
    if len(body) < 6_000:
        assert scan([body[i : i + 1] for i in range(len(body))]) == whole


@pytest.mark.skipif(HANDWRITTEN, reason="the recordings are not there")
def test_the_recordings_are_many() -> None:
    """A folder that shrank would let this file pass without testing much."""
    if len(RECORDINGS) < 50:
        warnings.warn(f"only {len(RECORDINGS)} recordings in {WIRE}", stacklevel=1)
    assert len(RECORDINGS) >= 10
