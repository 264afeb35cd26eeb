"""Embeddings and images: held, priced, settled like every call."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import RunningGateway, ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

MODELS = """
[[provider.model]]
id = "embed"
input_per_million = "0.02"
output_per_million = "0"
context_length = 100
[[provider.model]]
id = "pixels"
per_megapixel = "0.04"
[[provider.model]]
id = "images"
per_image = "0.05"
input_per_million = "5"
output_per_million = "40"
[[provider]]
name = "fal"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "fal-ai/flux/dev"
per_megapixel = "0.025"
"""
MEGAPIXEL = 1_000_000


@pytest.fixture
def media(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with models of both kinds."""
    text = MODELS.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


def answer_with(upstream: ScriptedUpstream, body: dict[str, Any], status: int = 200) -> None:
    """Let the upstream answer so."""
    upstream.answer = lambda connection, _: reply(
        connection, json.dumps(body).encode(), status=status
    )


def post(gateway: RunningGateway, path: str, body: Any) -> tuple[Any, dict[str, Any]]:
    """A call and its story."""
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post(path, json=body)
    return got, gateway.story(user, got) if got.status_code == 200 else {}


def vectors(*values: Any, **more: Any) -> dict[str, Any]:
    """An embeddings reply."""
    data = [
        {"object": "embedding", "index": index, "embedding": value}
        for index, value in enumerate(values)
    ]
    return {"object": "list", "data": data, "model": "embed", **more}


def test_embeddings_are_charged_for_the_providers_count(media: RunningGateway) -> None:
    """The body passes with the provider's own id; no output is charged (money rule 6)."""
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    answer_with(media.upstream, vectors([0.5], [0.25], usage=usage))
    got, story = post(media, "/v1/embeddings", {"model": "local/embed", "input": ["a", "b"]})
    assert [each["embedding"] for each in got.json()["data"]] == [[0.5], [0.25]]
    assert media.upstream.requests[-1].path == "/v1/embeddings"
    assert media.upstream.requests[-1].body == {"model": "embed", "input": ["a", "b"]}
    assert (story["settled_nano_usd"], story["usage"]["output_tokens"]) == (7 * 20, 0)
    assert story["held_nano_usd"] == 2 * (8 + 1) * 20


def test_what_a_provider_leaves_out_is_put_in(media: RunningGateway) -> None:
    """No usage: our own count, marked so, told in OpenAI's form (money rule 6, rule: contract)."""
    answer_with(media.upstream, {"data": vectors([0.5])["data"]})
    got, story = post(media, "/v1/embeddings", {"model": "local/embed", "input": "abcdefgh"})
    assert got.json()["usage"] == {"prompt_tokens": 2, "total_tokens": 2, "cost": 4e-8}
    assert (got.json()["object"], got.json()["model"]) == ("list", "local/embed")
    assert (story["usage"]["source"], story["settled_nano_usd"]) == ("estimated", 40)


@pytest.mark.parametrize("asked", ["base64", "float", None])
@pytest.mark.parametrize("gives_text", [False, True], ids=["numbers", "base64"])
def test_vectors_come_in_the_encoding_that_was_asked_for(
    media: RunningGateway, asked: str | None, gives_text: bool
) -> None:
    """Whatever the provider gives: OpenAI's npm client expects base64 alone (rule: contract)."""
    text = base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    answer_with(media.upstream, vectors(text if gives_text else [0.5, -0.25]))
    body = {"model": "local/embed", "input": "a"}
    got, _ = post(media, "/v1/embeddings", body | ({"encoding_format": asked} if asked else {}))
    (item,) = got.json()["data"]
    assert item["embedding"] == (text if asked == "base64" else [0.5, -0.25])


def test_images_are_charged_by_pixels_of_the_size_that_came(media: RunningGateway) -> None:
    """The size the provider tells, else the one asked for, else a square of 1024 (money rule 1)."""
    answer_with(media.upstream, {"created": 1, "data": [{"url": "u"}, {"url": "v"}]})
    body = {"model": "local/pixels", "prompt": "A cat", "n": 2, "size": "500x1000"}
    got, story = post(media, "/v1/images/generations", body)
    assert got.json() == {"created": 1, "data": [{"url": "u"}, {"url": "v"}]}
    assert story["settled_nano_usd"] == 40_000_000 == story["held_nano_usd"]
    assert story["usage"]["images"] == 2
    assert story["arithmetic"]["terms"] == [
        {"term": "pixel", "count": MEGAPIXEL, "usd": "0.04", "nano_usd": "40000000.00"}
    ]
    told = {"url": "u", "width": 100, "height": 100}
    answer_with(media.upstream, {"created": 1, "data": [told]})
    _, story = post(media, "/v1/images/generations", {"model": "local/pixels", "prompt": "A"})
    assert (story["settled_nano_usd"], story["usage"]["image_pixels"]) == (400_000, 10_000)


def test_images_with_tokens_are_charged_for_both(media: RunningGateway) -> None:
    """A price for each image and one for tokens, as the provider reports them (money rule 1)."""
    usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
    answer_with(media.upstream, {"created": 1, "data": [{"b64_json": "aGk="}], "usage": usage})
    _, story = post(media, "/v1/images/generations", {"model": "local/images", "prompt": "A cat"})
    assert story["settled_nano_usd"] == 50_000_000 + 10 * 5_000 + 100 * 40_000


def test_images_of_fal(media: RunningGateway) -> None:
    """Its own API behind ours; a direct answer is as good as its queue's (rule: translation)."""
    image = {"url": "https://fal.media/1.png", "width": 1000, "height": 500}
    answer_with(media.upstream, {"images": [image], "seed": 7})
    body = {"model": "fal/fal-ai/flux/dev", "prompt": "A cat"}
    got, story = post(media, "/v1/images/generations", body)
    assert got.json()["data"] == [image]
    assert (story["provider"], story["settled_nano_usd"]) == ("fal", 12_500_000)


def test_a_failure_is_free(media: RunningGateway) -> None:
    """An error, an empty answer, an answer of another shape: voided, and told (money rule 4)."""
    user = media.user()
    for body, status in (
        ({"error": {"message": "no"}}, 500),
        ({"created": 1, "data": []}, 200),
        ({"created": 1, "data": "x"}, 200),
        ({"created": 1, "data": [7]}, 200),
    ):
        answer_with(media.upstream, body, status)
        with media.client(user) as client:
            ask = {"model": "local/pixels", "prompt": "A cat"}
            got = client.post("/v1/images/generations", json=ask)
        assert got.status_code == 502
        assert media.story(user, got)["status"] == "voided"


@pytest.mark.parametrize("values", [[], [[0.5]], [[0.5], [0.25], [0.125]]])
def test_another_number_of_vectors_is_free(media: RunningGateway, values: list[Any]) -> None:
    """Nobody knows whose each of them is, so nothing was sold (money rule 4)."""
    user = media.user()
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    answer_with(media.upstream, vectors(*values, usage=usage))
    with media.client(user) as client:
        got = client.post("/v1/embeddings", json={"model": "local/embed", "input": ["a", "b"]})
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_error")
    assert "local answered 200 with" in got.json()["error"]["message"]
    assert media.story(user, got)["status"] == "voided"


def test_a_prompt_of_tokens_is_one_input_of_the_simulator(media: RunningGateway) -> None:
    """It has one vector, however many tokens there are (rule: contract)."""
    got, _ = post(media, "/v1/embeddings", {"model": "simulator/embed", "input": [1, 2, 3]})
    assert len(got.json()["data"]) == 1


BAD = [
    ("/v1/embeddings", {"model": "local/embed"}, 400, "missing_required_parameter"),
    ("/v1/embeddings", {"model": "local/embed", "input": []}, 400, "empty_input"),
    ("/v1/embeddings", {"model": "local/embed", "input": ["a", 1]}, 400, "invalid_type"),
    ("/v1/embeddings", {"model": "local/embed", "input": "a", "dimensions": 0}, 400, "invalid_value"),
    ("/v1/embeddings", {"model": "no/such", "input": "a"}, 404, "model_not_found"),
    ("/v1/embeddings", {"model": "local/embed", "input": "a", "encoding_format": "x"}, 400, "invalid_value"),
    ("/v1/embeddings", {"model": "local/embed", "input": ["a"] * 3_000}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "local/pixels"}, 400, "missing_required_parameter"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": " "}, 400, "empty_prompt"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": "a", "n": 11}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": "a", "size": "1x"}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": "a", "size": "10001x10000"}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": "a", "stream": True, "n": 2}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "local/pixels", "prompt": "a", "partial_images": 2}, 400, "invalid_value"),
    ("/v1/images/generations", {"model": "", "prompt": "a"}, 400, "missing_model"),
    ("/v1/embeddings", {"model": "local/embed", "input": "a\u0000"}, 400, "invalid_text"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD)
def test_bad_input_is_told_and_nothing_is_held(
    media: RunningGateway, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    """A 4xx in OpenAI's envelope; the provider is not asked (P10)."""
    got, _ = post(media, path, body)
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)
    assert media.upstream.requests == []


def test_too_little_credit_for_images_is_402(media: RunningGateway) -> None:
    """With what was needed and what is there (P1)."""
    user = media.user(grant=1)
    with media.client(user) as client:
        body = {"model": "local/pixels", "prompt": "A cat"}
        got = client.post("/v1/images/generations", json=body)
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (402, "insufficient_credits")
    assert error["needed_nano_usd"] > error["available_nano_usd"] == 1


def test_a_key_is_scoped_to_its_route(media: RunningGateway) -> None:
    """The same Idempotency-Key on another route is another key (money rule 8)."""
    user = media.user()
    answer_with(media.upstream, vectors([0.5]))
    with media.client(user, **{"idempotency-key": "k"}) as client:
        first = client.post("/v1/embeddings", json={"model": "local/embed", "input": "a"})
        again = client.post("/v1/embeddings", json={"model": "local/embed", "input": "a"})
        answer_with(media.upstream, {"created": 1, "data": [{"url": "u"}]})
        other = client.post("/v1/images/generations", json={"model": "local/pixels", "prompt": "a"})
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 200
