"""Own provider keys with everything that can be called: which key goes out, what is charged, told.

Each operation is called by three at once: one with an own key, one with another, one with none.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.background.playing import begin, ended, story_of
from tests.command_api.batches.making import jsonl, line
from tests.command_api.calls.responses import GPT, LOCAL, stream_of
from tests.command_api.operations.audio.test_transcriptions import wav
from tests.command_api.operations.image_forms.test_image_forms import png
from tests.conftest import fresh_database
from tests.support.harness import (
    DONE,
    USAGE,
    ScriptedUpstream,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    send_piece,
    stream,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

OWN = "sk-own-0123456789abcdefWXYZ"
OTHER = "sk-own-second-0123456789QRST"
HOUSE = {"local": "sk-up", "openai": "sk-oa"}
FEE, BATCH = 8, 50
"""Percent of the price that a call with an own key pays, and of its price a line of a batch."""
CHAT_NANO_USD = 10 * 150 + 5 * 600
PROVIDERS = """
[[provider.model]]
id = "dall-e-2"
per_image = "0.02"
[[provider.model]]
id = "tts"
per_million_characters = "15"
[[provider.model]]
id = "whisper"
per_minute = "0.006"
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "gpt-test"
input_per_million = "3"
output_per_million = "15"
context_length = 200000
max_output_tokens = 8192
"""
PICTURE = {"image": ("a.png", png(), "image/png")}
SOUND = {"file": ("a.wav", wav(3), "audio/wav")}
IMAGES = {"created": 1, "data": [{"b64_json": "aQ=="}]}
ANSWERS: dict[str, bytes] = {
    "/v1/images/generations": json.dumps(IMAGES).encode(),
    "/v1/images/edits": json.dumps(IMAGES).encode(),
    "/v1/images/variations": json.dumps(IMAGES).encode(),
    "/v1/audio/speech": b"ID3" + bytes(64),
    "/v1/audio/transcriptions": json.dumps({"text": "Hi"}).encode(),
    "/v1/audio/translations": json.dumps({"text": "Hi"}).encode(),
}


class Provider:
    """Answers what is asked, and knows which key asked for which text."""

    def __init__(self) -> None:
        """It waits for nobody."""
        self.keys: list[str] = []
        self.hold: threading.Barrier | None = None

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Answer one request; with `hold`, so many at the same time."""
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return
        self.keys.append(request.headers["authorization"])
        if self.hold is not None:
            self.hold.wait(20)
        if request.path in ANSWERS:
            kind = "audio/mpeg" if request.path.endswith("speech") else "application/json"
            reply(connection, ANSWERS[request.path], headers={"content-type": kind})
        elif request.path.endswith("/responses"):
            begin_stream(connection)
            for piece in stream_of("one"):
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
        elif request.body.get("stream"):
            stream(connection, chunk({"content": "Hi"}), chunk({}, finish="stop"), USAGE, DONE)
        else:
            reply(connection, completion())


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that takes a fee for own keys, and sells lines at half."""
    upstream = ScriptedUpstream(Provider())
    text = PROVIDERS.format(base_url=upstream.base_url)
    prices = {"provider_key_fee_percent": FEE, "batch_price_percent": BATCH}
    with (
        fresh_database(server) as database,
        running_gateway(
            database, tmp_path_factory.mktemp("home"), upstream, providers=text, **prices
        ) as made,
    ):
        yield made
        made.verified()
    upstream.close()


@pytest.fixture
def provider(served: RunningGateway) -> Provider:
    """A provider that has heard nothing yet."""
    made = served.upstream.answer = Provider()
    return made


class Somebody:
    """A caller, with an own key or without."""

    def __init__(self, gateway: RunningGateway, secret: str | None, provider: str) -> None:
        """`secret` is the own key at the provider."""
        self.gateway, self.user = gateway, gateway.user()
        self.key_id = ""
        self.bearer = f"Bearer {secret or HOUSE[provider]}"
        if secret is not None:
            with gateway.client(self.user) as client:
                body = {"provider": provider, "key": secret}
                answer = client.post("/user/provider-keys", json=body)
            assert answer.status_code == 200, answer.text
            self.key_id = answer.json()["id"]

    def pays(self, story: dict[str, Any], full: int, share: int = 100) -> None:
        """What a story tells of a call that is `full` by the catalog: the charge, and whose cost.

        `share` is what of its price the call pays, in percent.
        """
        percent = share * (FEE if self.key_id else 100)
        assert story["status"] == "settled", story
        charge, beyond = divmod(full * percent, 10_000)
        assert (story["settled_nano_usd"], beyond) == (charge, 0)
        (attempt,) = story["attempts"]
        if self.key_id:
            assert (attempt["own_key"], attempt["cost_nano_usd"]) == (self.key_id, 0)
            assert attempt["own_key_cost_nano_usd"] == full
        else:
            assert attempt["cost_nano_usd"] == full
            assert not {"own_key", "own_key_cost_nano_usd"} & attempt.keys()


def three(gateway: RunningGateway, provider: str = "local") -> list[Somebody]:
    """With an own key, with another, with the house's."""
    return [Somebody(gateway, secret, provider) for secret in (OWN, OTHER, None)]


def form(path: str, **given: Any) -> Callable[[httpx.Client], httpx.Response]:
    """A call with a form or a body."""
    return lambda client: client.post(path, **given)


OPERATIONS: dict[str, tuple[Callable[[httpx.Client], httpx.Response], int]] = {
    "generations": (
        form("/v1/images/generations", json={"model": "local/dall-e-2", "prompt": "A cat"}),
        20_000_000,
    ),
    "edits": (
        form(
            "/v1/images/edits", data={"model": "local/dall-e-2", "prompt": "A cat"}, files=PICTURE
        ),
        20_000_000,
    ),
    "variations": (
        form("/v1/images/variations", data={"model": "local/dall-e-2"}, files=PICTURE),
        20_000_000,
    ),
    "speech": (
        form("/v1/audio/speech", json={"model": "local/tts", "input": "Hello.", "voice": "alloy"}),
        6 * 15_000,
    ),
    "transcriptions": (
        form("/v1/audio/transcriptions", data={"model": "local/whisper"}, files=SOUND),
        3 * 100_000,
    ),
    "translations": (
        form("/v1/audio/translations", data={"model": "local/whisper"}, files=SOUND),
        3 * 100_000,
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_caller_is_known_by_its_own_key_at_the_provider(
    served: RunningGateway, provider: Provider, operation: str
) -> None:
    """Forms and bodies, answers of JSON and of bytes; whose is charged the fee, and the rest is no
    cost of the house (P4, money rule 1, rule: access).
    """
    call, full = OPERATIONS[operation]
    for one in three(served):
        with served.client(one.user) as client:
            answer = call(client)
        assert answer.status_code == 200, answer.text
        assert provider.keys.pop() == one.bearer
        one.pays(served.story(one.user, answer), full)
    assert provider.keys == []


def test_calls_of_one_instant_keep_their_keys_apart(
    served: RunningGateway, provider: Provider
) -> None:
    """All three wait at the provider at the same time, over the same connections, again and again:
    nobody's key speaks for another (rule: access).
    """
    callers = three(served) * 4
    provider.hold = threading.Barrier(len(callers))

    def call(one: Somebody) -> tuple[Somebody, httpx.Response]:
        return one, served.chat(one.user, {})

    with ThreadPoolExecutor(len(callers)) as pool:
        for _ in range(2):
            answers = list(pool.map(call, callers))
            assert sorted(provider.keys) == sorted(each.bearer for each in callers)
            provider.keys.clear()
            for one, answer in answers:
                one.pays(served.story(one.user, answer), CHAT_NANO_USD)


@pytest.mark.parametrize(
    ("model", "full"), [(GPT, 10 * 3_000 + 5 * 15_000), (LOCAL, CHAT_NANO_USD)]
)
def test_a_response_in_the_background_is_run_with_its_callers_key(
    served: RunningGateway, provider: Provider, model: str, full: int
) -> None:
    """At providers of Responses and of chat: run here, later, with the key of whoever asked, and
    charged so (P2, rule: access).
    """
    for one in three(served, model.partition("/")[0]):
        made = begin(served, one.user, model=model)
        done = ended(served, one.user, made["id"])
        assert done["status"] == "completed", done
        assert provider.keys.pop() == one.bearer
        one.pays(story_of(served, one.user, made["id"]), full)
    assert provider.keys == []


def test_a_response_in_the_background_ends_with_the_key_it_began_with(
    served: RunningGateway, provider: Provider
) -> None:
    """Its key is removed while it runs: it is not asked for again with the house's (P3)."""
    one = Somebody(served, OWN, "local")
    provider.hold = threading.Barrier(2)
    made = begin(served, one.user, model=LOCAL)
    eventually(lambda: provider.keys)
    with served.client(one.user) as client:
        assert client.delete(f"/user/provider-keys/{one.key_id}").status_code == 200
    provider.hold.wait(20)
    assert ended(served, one.user, made["id"])["status"] == "completed"
    assert provider.keys == [one.bearer]
    one.pays(story_of(served, one.user, made["id"]), CHAT_NANO_USD)


def test_a_line_of_a_batch_pays_half_of_the_fee(served: RunningGateway, provider: Provider) -> None:
    """With the key of the batch's maker, at the share of the share; what the provider asks is told
    whole, of the house's lines too (P4, money rule 12).
    """
    callers = three(served)
    for one in callers:
        with served.client(one.user) as client:
            upload = _upload()
            file = client.post("/v1/files", **upload).json()["id"]
            asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
            batch = client.post("/v1/batches", json={"input_file_id": file, **asked}).json()["id"]
            done = eventually(partial(_ended, client, batch))
            raw = client.get(f"/v1/files/{done['output_file_id']}/content").text
            told = json.loads(raw)
            story = client.get(f"/v1/calls/{told['response']['request_id']}").json()
        assert provider.keys.pop() == one.bearer
        assert story["batch_id"] == batch
        one.pays(story, CHAT_NANO_USD, BATCH)
    assert provider.keys == []


def _upload() -> dict[str, Any]:
    """A file of one line."""
    return {"files": {"file": ("a.jsonl", jsonl(line("a")))}, "data": {"purpose": "batch"}}


def _ended(client: httpx.Client, batch: str) -> dict[str, Any] | None:
    """The batch, once its lines were answered."""
    found: dict[str, Any] = client.get(f"/v1/batches/{batch}").json()
    return found if found["status"] == "completed" else None


def test_lines_know_of_a_key_that_was_replaced(served: RunningGateway, provider: Provider) -> None:
    """What was put in its place is what goes out (rule: access)."""
    one = Somebody(served, OWN, "local")
    with served.client(one.user) as client:
        replaced = client.patch(f"/user/provider-keys/{one.key_id}", json={"key": OTHER})
        assert replaced.status_code == 200
        upload = _upload()
        file = client.post("/v1/files", **upload).json()["id"]
        asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = client.post("/v1/batches", json={"input_file_id": file, **asked}).json()["id"]
        eventually(partial(_ended, client, batch))
    assert provider.keys == [f"Bearer {OTHER}"]


def test_a_users_key_is_not_used_by_others(served: RunningGateway, provider: Provider) -> None:
    """The same key stored by two is two keys: one is removed, the other goes on (rule: access)."""
    one, two = Somebody(served, OWN, "local"), Somebody(served, OWN, "local")
    with served.client(one.user) as client:
        assert client.delete(f"/user/provider-keys/{two.key_id}").status_code == 404
        assert client.delete(f"/user/provider-keys/{one.key_id}").status_code == 200
    for each in (one, two):
        assert served.chat(each.user, {}).status_code == 200
    assert provider.keys == [f"Bearer {HOUSE['local']}", f"Bearer {OWN}"]
