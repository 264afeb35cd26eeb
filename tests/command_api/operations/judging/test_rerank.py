"""/v1/rerank: held by documents, settled by search units or tokens; what lies is no answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.operations.test_media import answer_with, post
from tests.support.harness import reply

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

PATH = "/v1/rerank"
SEARCH = 2_000_000
DOCUMENTS = ["Carson City", "Washington, D.C.", "Saipan"]
ASK: dict[str, Any] = {"query": "capital", "documents": DOCUMENTS}
COHERE = {**ASK, "model": "local/rerank-v3.5"}


def scores(*found: tuple[int, float], **more: Any) -> dict[str, Any]:
    """An answer in Cohere's and Jina's form."""
    return {"results": [{"index": each, "relevance_score": score} for each, score in found], **more}


def units(count: Any) -> dict[str, Any]:
    """Cohere's report."""
    return {"api_version": {"version": "2"}, "billed_units": {"search_units": count}}


def test_a_search_of_coheres(judges: RunningGateway) -> None:
    """Its own figures settle the call, and are told in its form and ours (money rule 6)."""
    answer = scores((1, 0.9), (0, 0.25), id="07734bd2", meta=units(1))
    answer_with(judges.upstream, answer)
    got, story = post(judges, PATH, {**COHERE, "top_n": 2, "max_tokens_per_doc": 100})
    sent = judges.upstream.requests[-1]
    assert (sent.path, sent.body) == (
        PATH,
        {**ASK, "model": "rerank-v3.5", "top_n": 2, "max_tokens_per_doc": 100},
    )
    assert got.json() == {
        "id": "07734bd2",
        "model": "local/rerank-v3.5",
        "results": answer["results"],
        "meta": {"billed_units": {"search_units": 1}},
        "usage": {"prompt_tokens": 0, "total_tokens": 0, "search_units": 1, "cost": 0.002},
    }
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (SEARCH, SEARCH)
    assert (story["usage"]["searches"], story["usage"]["source"]) == (1, "provider")
    assert story["arithmetic"]["terms"] == [
        {"term": "search", "count": 1, "usd": "2", "nano_usd": "2000000"}
    ]


def test_a_hold_covers_every_chunk(judges: RunningGateway) -> None:
    """A long document is many; the caller's own limit bounds them (money rule 2)."""
    answer_with(judges.upstream, scores((0, 0.5), meta=units(2)))
    body = {**COHERE, "documents": ["x" * 100_000] * 3}
    _, story = post(judges, PATH, body)
    query = 4 + 8
    chunks = 3 * -(-50_008 // (500 - query))
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (
        -(-chunks // 100) * SEARCH,
        2 * SEARCH,
    )
    answer_with(judges.upstream, scores((0, 0.5), meta=units(1)))
    _, story = post(judges, PATH, {**body, "max_tokens_per_doc": 1_000})
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (SEARCH, SEARCH)


def test_tokens_of_jina_and_together(judges: RunningGateway) -> None:
    """Their total is all input; a reported output is not charged (money rule 6)."""
    document = {"text": "its own copy"}
    item = {"index": 2, "relevance_score": 0.5, "document": document}
    for usage in (
        {"total_tokens": 30},
        {"prompt_tokens": 30, "completion_tokens": 0, "total_tokens": 30},
        {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39},
    ):
        answer_with(judges.upstream, {"model": "x", "results": [item], "usage": usage})
        got, story = post(judges, PATH, {**ASK, "model": "local/by-tokens"})
        assert got.json()["results"] == [{"index": 2, "relevance_score": 0.5}]
        assert got.json()["usage"] == {**usage, "cost": 6e-7}
        assert story["settled_nano_usd"] == 30 * 20
        assert story["held_nano_usd"] == (3 * 12 + 14 + 16 + 11) * 20
        assert "searches" not in story["usage"]


def test_voyage_is_asked_and_read_in_its_own_form(judges: RunningGateway) -> None:
    """`top_k` and `data` there, `top_n` and `results` here (rule: translation)."""
    data = [{"relevance_score": 0.4375, "index": 0}, {"relevance_score": 0.5, "index": 1}]
    answer = {"object": "list", "data": data, "model": "x", "usage": {"total_tokens": 26}}
    answer_with(judges.upstream, answer)
    body = {**ASK, "documents": ["a", {"text": "b", "title": "c"}], "return_documents": True}
    got, story = post(judges, PATH, {**body, "model": "voyage/rerank-2.5", "top_n": 1})
    assert judges.upstream.requests[-1].body == {
        "query": "capital",
        "documents": ["a", "b"],
        "model": "rerank-2.5",
        "top_k": 1,
    }
    told = got.json()
    assert told["results"] == [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]
    assert "data" not in told
    assert (told["model"], story["settled_nano_usd"]) == ("voyage/rerank-2.5", 26 * 50)


def test_both_are_charged_where_both_have_a_price(judges: RunningGateway) -> None:
    """What the provider leaves out we count (money rule 1, money rule 6)."""
    meta = units(1)
    meta["tokens"] = {"input_tokens": 40, "output_tokens": 0}
    answer_with(judges.upstream, scores((0, 0.5), meta=meta))
    _, story = post(judges, PATH, {**ASK, "model": "local/by-both"})
    assert (story["settled_nano_usd"], story["usage"]["source"]) == (SEARCH + 40 * 20, "provider")
    for answer in (scores((0, 0.5)), scores((0, 0.5), meta=7), scores((0, 0.5), meta=units(None))):
        answer_with(judges.upstream, answer)
        _, story = post(judges, PATH, {**ASK, "model": "local/by-both"})
        own = 3 * 2 + 3 + 4 + 2
        assert (story["settled_nano_usd"], story["usage"]["source"]) == (
            SEARCH + own * 20,
            "estimated",
        )
        assert "implausible" not in story["usage"]


@pytest.mark.parametrize("count", [0, -1, 2, 10**18, 10**30, "many", 1.5, [], {}])
def test_search_units_that_cannot_be_are_ours(judges: RunningGateway, count: Any) -> None:
    """Marked so, and neither the hold nor the caller's money is passed (P1, money rule 6)."""
    answer_with(judges.upstream, scores((0, 0.5), meta=units(count)))
    got, story = post(judges, PATH, COHERE)
    assert got.json()["meta"]["billed_units"]["search_units"] == 1
    assert got.json()["usage"]["search_units"] == 1
    assert (story["settled_nano_usd"], story["usage"]["implausible"]) == (SEARCH, True)
    assert story["usage"]["source"] == "estimated"


def test_a_count_written_otherwise_is_read(judges: RunningGateway) -> None:
    """Cohere's document calls it a number (money rule 6)."""
    answer_with(judges.upstream, scores((0, 0.5), meta=units(1.0)))
    _, story = post(judges, PATH, COHERE)
    assert (story["settled_nano_usd"], story["usage"]["source"]) == (SEARCH, "provider")


@pytest.mark.parametrize("tokens", [-1, 10**18, "many"])
def test_tokens_that_cannot_be_are_ours(judges: RunningGateway, tokens: Any) -> None:
    """Marked so (money rule 6)."""
    answer_with(judges.upstream, scores((0, 0.5), usage={"total_tokens": tokens}))
    _, story = post(judges, PATH, {**ASK, "model": "local/by-tokens"})
    assert story["settled_nano_usd"] == (3 * 2 + 3 + 4 + 2) * 20
    assert story["usage"]["implausible"] is True


def test_more_results_than_asked_for_are_cut(judges: RunningGateway) -> None:
    """The best stay, the best first, whatever the provider's order (rule: contract)."""
    answer_with(judges.upstream, scores((0, 0.1), (2, 0.9), (1, 0.5), meta=units(1)))
    got, _ = post(judges, PATH, {**COHERE, "top_n": 2})
    assert [each["index"] for each in got.json()["results"]] == [2, 1]
    got, _ = post(judges, PATH, {**COHERE, "top_n": 10_000})
    assert [each["index"] for each in got.json()["results"]] == [2, 1, 0]


LIES: list[bytes] = [
    b"{}",
    b'{"results": []}',
    b'{"results": {}}',
    b'{"results": [7]}',
    b'{"results": [{"index": 0}]}',
    b'{"results": [{"index": 3, "relevance_score": 0.5}]}',
    b'{"results": [{"index": -1, "relevance_score": 0.5}]}',
    b'{"results": [{"index": 1e30, "relevance_score": 0.5}]}',
    b'{"results": [{"index": "0", "relevance_score": 0.5}]}',
    b'{"results": [{"index": 0, "relevance_score": NaN}]}',
    b'{"results": [{"index": 0, "relevance_score": 1e400}]}',
    b'{"results": [{"index": 0, "relevance_score": "0.5"}]}',
    json.dumps(scores((0, 0.5), (0, 0.4))).encode(),
    json.dumps(scores(*((each, 0.5) for each in range(1_000)))).encode(),
    b'{"error": {"message": "no"}}',
    b"",
]


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_ranking_is_no_answer(judges: RunningGateway, lie: bytes) -> None:
    """An index beyond the documents, a score that is no number: voided, free (money rule 4)."""
    judges.upstream.answer = lambda connection, _: reply(connection, lie)
    user = judges.user()
    with judges.client(user) as client:
        got = client.post(PATH, json=COHERE)
    assert got.status_code == 502, got.text
    assert judges.story(user, got)["status"] == "voided"


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"query": " "}, 400, "empty_input"),
    ({"query": 7}, 400, "invalid_type"),
    ({"documents": []}, 400, "empty_input"),
    ({"documents": "a"}, 400, "invalid_type"),
    ({"documents": ["a", {"title": "b"}]}, 400, "missing_required_parameter"),
    ({"documents": [7]}, 400, "invalid_type"),
    ({"documents": ["a"] * 10_001}, 400, "invalid_value"),
    ({"top_n": 0}, 400, "invalid_value"),
    ({"top_n": -1}, 400, "invalid_value"),
    ({"top_n": 10**30}, 400, "invalid_value"),
    ({"max_tokens_per_doc": 0}, 400, "invalid_value"),
    ({"max_tokens_per_doc": 10**30}, 400, "invalid_value"),
    ({"return_documents": "yes"}, 400, "invalid_type"),
    ({"model": ""}, 400, "missing_model"),
    ({"model": "no/such"}, 404, "model_not_found"),
    ({"model": "local/m"}, 400, "model_of_another_kind"),
    ({"model": "local/guard"}, 400, "model_of_another_kind"),
    ({"model": "local/rerank-pixels"}, 400, "operation_unpriced"),
    ({"service_tier": "flex"}, 400, "extra_unpriced"),
]


@pytest.mark.parametrize(("more", "status", "code"), BAD)
def test_bad_input_is_told_and_nothing_is_held(
    judges: RunningGateway, more: dict[str, Any], status: int, code: str
) -> None:
    """A 4xx that names it; the provider is not asked (P10)."""
    got, _ = post(judges, PATH, {**COHERE, **more})
    assert (got.status_code, got.json()["error"]["code"]) == (status, code), got.text
    assert judges.upstream.requests == []


def test_a_model_that_ranks_does_not_chat(judges: RunningGateway) -> None:
    """Its searches have a price, its tokens have none (P10)."""
    body = {"model": "local/rerank-v3.5", "messages": [{"role": "user", "content": "Hi"}]}
    got, _ = post(judges, "/v1/chat/completions", body)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "operation_unpriced")


def test_too_little_credit_is_402(judges: RunningGateway) -> None:
    """A search is held for before anybody is asked (P1)."""
    user = judges.user(grant=SEARCH - 1)
    with judges.client(user) as client:
        got = client.post(PATH, json=COHERE)
    assert (got.status_code, got.json()["error"]["needed_nano_usd"]) == (402, SEARCH)
    assert judges.upstream.calls == 0


def test_a_repeated_request_is_one_call(judges: RunningGateway) -> None:
    """One charge, the first answer again (P3)."""
    user = judges.user()
    answer_with(judges.upstream, scores((0, 0.5), meta=units(1)))
    with judges.client(user, **{"idempotency-key": "k"}) as client:
        first, again = client.post(PATH, json=COHERE), client.post(PATH, json=COHERE)
    assert (first.content, again.headers["idempotent-replayed"]) == (again.content, "true")
    assert judges.upstream.calls == 1
    assert judges.balance(user)["settled_nano_usd"] == SEARCH


def test_the_catalog_finds_models_by_what_they_do(judges: RunningGateway) -> None:
    """By modality, with the price of a search (rule: contract)."""
    user = judges.user()
    with judges.client(user) as client:
        found = client.get("/v1/models/search", params={"modality": "score"}).json()["data"]
        ids = {each["id"] for each in found}
        told = client.get("/v1/models/simulator/rank").json()
        verdicts = client.get("/v1/models/search", params={"modality": "moderation"}).json()
    assert {"simulator/rank", "by-tokens"} <= ids
    assert told["pricing"]["search"] == "0.002"
    assert {each["id"] for each in verdicts["data"]} == {"guard", "simulator/moderate"}
