"""/v1/moderations: held, priced, settled like every call; what lies is no answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.command_api.operations.test_media import answer_with, post
from tests.support.harness import reply

if TYPE_CHECKING:
    from openai.types import ModerationMultiModalInputParam

    from tests.support.harness import RunningGateway

PATH = "/v1/moderations"
MISTRAL = "local/mistral-moderation-latest"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TEXT = {"type": "text", "text": "abcdefgh"}

PARTS: list[ModerationMultiModalInputParam] = [
    {"type": "text", "text": "violence"},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
]


def verdicts(*flagged: bool, **more: Any) -> dict[str, Any]:
    """An answer."""
    results = [
        {"flagged": each, "categories": {"hate": each}, "category_scores": {"hate": 0.5}}
        for each in flagged
    ]
    return {"id": "modr-1", "model": "x", "results": results, **more}


def test_without_a_model_openais_is_meant(judges: RunningGateway) -> None:
    """A hold and a settlement of 0, our own count (money rule 6, money rule 7)."""
    answer_with(judges.upstream, verdicts(True))
    got, story = post(judges, PATH, {"input": "abcdefgh"})
    assert judges.upstream.requests[-1].path == PATH
    assert judges.upstream.requests[-1].body == {
        "input": "abcdefgh",
        "model": "omni-moderation-latest",
    }
    told = got.json()
    assert (told["id"], told["model"]) == ("modr-1", "local/omni-moderation-latest")
    assert told["results"][0]["flagged"] is True
    assert told["usage"] == {"prompt_tokens": 2, "total_tokens": 2, "cost": 0}
    assert (story["status"], story["held_nano_usd"], story["settled_nano_usd"]) == ("settled", 0, 0)
    assert (story["usage"]["source"], story["usage"]["input_tokens"]) == ("estimated", 2)


def test_a_providers_own_categories_and_count_pass(judges: RunningGateway) -> None:
    """Mistral's answer has usage and no `flagged`; output is never charged (money rule 6)."""
    result = {"categories": {"pii": False, "law": None}, "category_scores": {"pii": 1, "law": 0.25}}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    answer_with(judges.upstream, {"results": [result, result], "usage": usage})
    got, story = post(judges, PATH, {"model": MISTRAL, "input": ["ab", "cd"]})
    assert got.json()["results"] == [result, result]
    assert got.json()["id"] == f"modr-{got.headers['x-gatewayz-call-id']}"
    assert got.json()["usage"]["prompt_tokens"] == 9
    assert (story["settled_nano_usd"], story["held_nano_usd"]) == (9 * 100, 2 * 9 * 100)
    assert story["usage"]["output_tokens"] == 0


def test_parts_are_one_input_and_images_are_counted_here(judges: RunningGateway) -> None:
    """No provider tells them (money rule 6)."""
    answer_with(judges.upstream, verdicts(False))
    got, story = post(judges, PATH, {"model": MISTRAL, "input": [TEXT, IMAGE]})
    assert got.status_code == 200
    assert story["usage"]["input_images"] == 1
    assert story["usage"]["input_tokens"] == 2 + 512
    assert story["settled_nano_usd"] == (2 + 512) * 100 + 1_000_000
    assert story["held_nano_usd"] == (4 + 8 + 16_386) * 100 + 1_000_000


LIES: list[bytes] = [
    b"{}",
    b'{"results": []}',
    b'{"results": 7}',
    b'{"results": [7]}',
    b'{"results": [{"categories": {}}]}',
    b'{"results": [{"categories": {"hate": 1}, "category_scores": {"hate": 0.5}}]}',
    b'{"results": [{"categories": {"hate": true}, "category_scores": {"hate": NaN}}]}',
    b'{"results": [{"categories": {"hate": true}, "category_scores": {"hate": 1e400}}]}',
    json.dumps(verdicts(False, False)).encode(),
    b'{"error": {"message": "no"}}',
    b"[]",
    b"",
]


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_verdict_is_no_answer(judges: RunningGateway, lie: bytes) -> None:
    """Not even more verdicts than texts: nobody knows what they are on (money rule 4)."""
    judges.upstream.answer = lambda connection, _: reply(connection, lie)
    user = judges.user()
    with judges.client(user) as client:
        got = client.post(PATH, json={"model": MISTRAL, "input": "ab"})
    assert got.status_code == 502, got.text
    assert judges.story(user, got)["status"] == "voided"


@pytest.mark.parametrize("tokens", [0, -5, 10**18, "many"])
def test_a_count_that_cannot_be_is_ours(judges: RunningGateway, tokens: Any) -> None:
    """And marked so (money rule 6)."""
    answer_with(judges.upstream, verdicts(False, usage={"prompt_tokens": tokens}))
    _, story = post(judges, PATH, {"model": MISTRAL, "input": "abcdefgh"})
    assert (story["settled_nano_usd"], story["usage"]["implausible"]) == (200, True)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "missing_required_parameter"),
    ({"input": ""}, 400, "empty_input"),
    ({"input": []}, 400, "empty_input"),
    ({"input": 7}, 400, "invalid_type"),
    ({"input": ["a", 7]}, 400, "invalid_type"),
    ({"input": ["a", TEXT]}, 400, "invalid_type"),
    ({"input": [{"type": "text"}]}, 400, "invalid_type"),
    ({"input": [{"type": "image_url"}]}, 400, "invalid_type"),
    ({"input": [{"type": "image_url", "image_url": {}}]}, 400, "missing_required_parameter"),
    ({"input": [{"type": "video", "text": "a"}]}, 400, "invalid_type"),
    ({"input": ["a"] * 1_025}, 400, "invalid_value"),
    ({"input": "a", "model": None}, 400, "invalid_type"),
    ({"input": "a", "model": "no/such"}, 404, "model_not_found"),
    ({"input": "a", "model": "local/m"}, 400, "model_of_another_kind"),
    ({"input": "a", "model": "local/by-tokens"}, 400, "model_of_another_kind"),
    ({"input": "a", "model": "local/moderation-pixels"}, 400, "operation_unpriced"),
    ({"input": "a", "model": MISTRAL, "service_tier": "flex"}, 400, "extra_unpriced"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD)
def test_bad_input_is_told_and_nothing_is_held(
    judges: RunningGateway, body: dict[str, Any], status: int, code: str
) -> None:
    """A 4xx that names it; the provider is not asked (P10)."""
    got, _ = post(judges, PATH, body)
    assert (got.status_code, got.json()["error"]["code"]) == (status, code), got.text
    assert judges.upstream.requests == []


def test_nobody_who_offers_the_default_is_told(gateway: RunningGateway) -> None:
    """By its name (P10)."""
    got, _ = post(gateway, PATH, {"input": "a"})
    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")
    assert "omni-moderation-latest" in got.json()["error"]["message"]


def test_a_repeated_request_is_one_call(judges: RunningGateway) -> None:
    """One charge, the first answer again (P3)."""
    user = judges.user()
    answer_with(judges.upstream, verdicts(True))
    body = {"model": "local/guard", "input": "abcdefgh"}
    with judges.client(user, **{"idempotency-key": "k"}) as client:
        first, again = client.post(PATH, json=body), client.post(PATH, json=body)
    assert (first.content, again.headers["idempotent-replayed"]) == (again.content, "true")
    assert judges.upstream.calls == 1
    assert judges.balance(user)["settled_nano_usd"] == 2_000


def test_openais_client(gateway: RunningGateway) -> None:
    """Texts, and parts, at the simulator (rule: contract)."""
    key = gateway.user().api_key
    with openai.OpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        got = client.moderations.create(model="simulator/moderate", input=["I hate it", "Hello"])
        parts = client.moderations.create(
            model="simulator/moderate",
            input=PARTS,
        )
    assert [each.flagged for each in got.results] == [True, False]
    assert got.results[0].categories.hate
    assert got.results[0].category_scores.hate == 0.99
    assert got.model == "simulator/moderate"
    assert [each.categories.violence for each in parts.results] == [True]
