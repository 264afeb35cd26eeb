"""Answers to nearly the same text: whose, at which price, and what is never answered so."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.command_api.api_keys.test_routes import made
from tests.command_api.kept_replies.test_response_cache import answers, result, text_of
from tests.support.admins import new_admin
from tests.support.harness import RunningGateway, ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request

SEMANTIC = {"x-gatewayz-cache": "semantic=0.8"}
FRANCE = "What is the capital of France?"
NEAR = "What is the capital city of France"
FAR = "Write me a poem about the sea"
ENTRIES_MAX = 3
MADE = {
    "semantic_cache_model": "simulator/embed",
    "semantic_cache_dimensions": 512,
    "semantic_cache_entries_max": ENTRIES_MAX,
    "semantic_cache_wait_s": 30,
}


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One whose vectors the simulator makes."""
    answers(upstream)
    with running_gateway(database, tmp_path / "home", upstream, **MADE) as serving:
        yield serving
        serving.verified()


def ask(
    gateway: RunningGateway,
    user: NewUser,
    text: str,
    headers: dict[str, str] = SEMANTIC,
    **more: Any,
) -> Any:
    """One call with this text."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    return gateway.chat(user, body, **headers)


def told(answer: Any) -> tuple[str, str | None]:
    """What both caches were to a call."""
    return result(answer), answer.headers.get("x-gatewayz-cache-semantic")


def test_nearly_the_same_text_is_answered_again(gateway: RunningGateway) -> None:
    """For nothing but its vector, a call of its own that is linked; whole and streamed
    (P2, P3, P5, money rule 1).
    """
    user = gateway.user()
    first, near = ask(gateway, user, FRANCE), ask(gateway, user, NEAR)
    assert told(first) == ("miss", "miss")
    assert told(near) == ("hit", "hit")
    assert text_of(near) == text_of(first)
    assert 0.8 <= float(near.headers["x-gatewayz-cache-similarity"]) < 1
    assert int(near.headers["age"]) >= 0
    story = gateway.story(user, near)
    assert (story["charged_nano_usd"], story["provider"]) == (0, "cache")
    assert story["cached_from"] == first.headers["x-gatewayz-call-id"]
    assert story["semantic"]["similarity"] == near.headers["x-gatewayz-cache-similarity"]
    vector = gateway.story(user, story["semantic"]["embedding_call_id"])
    assert (vector["provider"], vector["model"], vector["status"]) == (
        *("simulator", "embed"),
        "settled",
    )
    assert vector["correlation_id"] == story["id"]
    assert vector["charged_nano_usd"] > 0
    streamed = ask(gateway, user, NEAR + " please", stream=True)
    assert told(streamed) == ("hit", "hit")
    assert text_of(streamed) == text_of(first)
    assert told(ask(gateway, user, FRANCE)) == ("hit", None)
    assert told(ask(gateway, user, FAR)) == ("miss", "miss")
    assert told(ask(gateway, user, NEAR, temperature=0)) == ("miss", "miss")
    with psycopg.connect(gateway.database.owner) as connection:
        rows = connection.execute("SELECT sealed_vector, sealed_reply FROM semantic_entry")
        assert not any(b"secret" in part for row in rows for part in row)


def test_whose_answers_are_compared(gateway: RunningGateway) -> None:
    """Never another account's; another key's where both keys say so (rule: access, P5)."""
    user, other = gateway.user(), gateway.user()
    ask(gateway, user, FRANCE)
    assert told(ask(gateway, other, NEAR)) == ("miss", "miss")
    own = made(gateway, user, "own")
    assert told(ask(gateway, own, NEAR)) == ("miss", "miss")
    wish = {"ttl_s": 60, "semantic": {"threshold": "0.8", "scope": "account"}}
    one, two = (made(gateway, user, name, cache=wish) for name in ("one", "two"))
    assert told(ask(gateway, one, "The biggest river of all Asia", {})) == ("miss", "miss")
    assert told(ask(gateway, two, "The biggest river of all of Asia", {})) == ("hit", "hit")
    exact = {"x-gatewayz-cache": "exact"}
    assert told(ask(gateway, two, "The biggest river of whole Asia", exact)) == ("miss", None)
    stranger = made(gateway, other, "one", cache=wish)
    assert told(ask(gateway, stranger, "The biggest river in Asia", {})) == ("miss", "miss")


def test_the_oldest_go_first_and_all_are_forgotten(gateway: RunningGateway) -> None:
    """So many of a scope are kept; an admin forgets them all (rule: bounded)."""
    user, admin = gateway.user(), new_admin(gateway)
    for each in ("alpha beta gamma", "delta epsilon", "zeta eta theta", "iota kappa", "lambda mu"):
        ask(gateway, user, each)
    with psycopg.connect(gateway.database.owner) as connection:
        count = connection.execute("SELECT count(*) FROM semantic_entry").fetchone()
    assert count == (ENTRIES_MAX,)
    assert told(ask(gateway, user, "alpha beta gamma.")) == ("miss", "miss")
    assert told(ask(gateway, user, "lambda mu!")) == ("hit", "hit")
    with gateway.client(admin) as client:
        assert client.post("/health/optimizations/cache/clear").status_code == 200
    assert told(ask(gateway, user, "lambda mu?")) == ("miss", "miss")


def test_who_may_not_have_a_vector_goes_on_without(gateway: RunningGateway) -> None:
    """Each is answered by its own call, and told why (P12, rule: refuse clearly)."""
    user = gateway.user()
    ask(gateway, user, FRANCE)
    limited = made(gateway, user, "limited", models=["local/*"])
    assert told(ask(gateway, limited, f"{NEAR} 1")) == ("miss", "model_not_allowed")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert told(ask(gateway, user, f"{NEAR} 2", tools=[tool])) == ("miss", "tools")
    assert told(ask(gateway, user, NEAR, SEMANTIC | {"idempotency-key": "k"})) == (
        *("miss", "idempotency_key"),
    )
    only = ask(gateway, user, FAR, SEMANTIC | {"cache-control": "only-if-cached"})
    assert (only.status_code, only.headers["x-gatewayz-cache-semantic"]) == (504, "only_if_cached")
    refused = ask(gateway, user, NEAR, {"x-gatewayz-cache": "semantic=NaN"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_cache_wish")


def test_completions_and_responses_are_compared(gateway: RunningGateway) -> None:
    """Each for itself; of Responses those that nobody stored (P3, rule: access, rule: wire)."""
    user = gateway.user()
    with gateway.client(user, **SEMANTIC) as client:
        for path, name, more in (
            ("/v1/completions", "prompt", {"max_tokens": 50}),
            ("/v1/responses", "input", {"store": False}),
            ("/v1/responses", "input", {"store": False, "stream": True}),
        ):
            body = {"model": "local/m", **more}
            got = [client.post(path, json={**body, name: text}) for text in (FRANCE, NEAR)]
            assert told(got[1]) == ("hit", "hit"), got[1].text
            assert "secret answer" in got[1].text
        stored = client.post("/v1/responses", json={"model": "local/m", "input": NEAR})
        assert told(stored) == ("miss", "stored")


def test_who_cannot_pay_the_call_pays_no_vector(gateway: RunningGateway) -> None:
    """Its hold is given back before any provider is asked, and the call is refused as without
    (P1, P2, money rule 4, rule: refuse clearly).
    """
    poor = gateway.user(grant=100_000)
    dear = ask(gateway, poor, FRANCE, max_tokens=16_000)
    assert (dear.status_code, dear.json()["error"]["code"]) == (402, "insufficient_credits")
    assert told(dear) == ("miss", "insufficient_credits")
    assert gateway.balance(poor)["available_nano_usd"] == 100_000
    assert gateway.open_holds() == 0
    assert told(ask(gateway, poor, FRANCE, max_tokens=10)) == ("miss", "miss")
    assert told(ask(gateway, poor, NEAR, max_tokens=10)) == ("hit", "hit")


def test_without_a_model_nothing_is_compared(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The same request is still answered again (rule: refuse clearly)."""
    answers(upstream)
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        user = gateway.user()
        assert told(ask(gateway, user, FRANCE)) == ("miss", "not_configured")
        assert told(ask(gateway, user, FRANCE)) == ("hit", None)
        assert told(ask(gateway, user, NEAR)) == ("miss", "not_configured")


VECTORS = {
    "down": (500, b'{"error":{"message":"no"}}'),
    "empty": (200, b'{"data":[{"embedding":[]}],"usage":{"prompt_tokens":1,"total_tokens":1}}'),
    "zero": (200, b'{"data":[{"embedding":[0,0]}],"usage":{"prompt_tokens":1,"total_tokens":1}}'),
    "no number": (200, b'{"data":[{"embedding":[NaN]}]}'),
    "endless": (200, b'{"data":[{"embedding":[' + b"1," * 10**6 + b"1]}]}"),
}


@pytest.mark.parametrize("what", VECTORS)
def test_a_provider_that_gives_no_vector_stops_nobody(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, what: str
) -> None:
    """The call is made, told why, and every hold ends (P2, P12)."""
    answers(upstream)
    whole, (status, raw) = upstream.answer, VECTORS[what]

    def answer(connection: socket.socket, request: Request) -> Any:
        if request.path.endswith("/embeddings"):
            return reply(connection, raw, status=status)
        return whole(connection, request)

    upstream.answer = answer
    settings = MADE | {"semantic_cache_model": "local/m", "semantic_cache_dimensions": 0}
    with running_gateway(database, tmp_path / "home", upstream, **settings) as gateway:
        user = gateway.user()
        for text in (FRANCE, NEAR):
            got = ask(gateway, user, text)
            assert got.status_code == 200, got.text
            assert result(got) == "miss"
            assert got.headers["x-gatewayz-cache-semantic"] not in {"hit", "miss"}
        assert gateway.open_holds() == 0
        gateway.verified()
    with psycopg.connect(database.owner) as connection:
        assert connection.execute("SELECT count(*) FROM semantic_entry").fetchone() == (0,)


def test_vectors_of_other_sizes_are_passed_over(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """A model that changed, and rows that were damaged or moved (P5, rule: access)."""
    answers(upstream)
    sizes = iter([[1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    whole = upstream.answer

    def answer(connection: socket.socket, request: Request) -> Any:
        if request.path.endswith("/embeddings"):
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            data = [{"object": "embedding", "index": 0, "embedding": next(sizes)}]
            told = {"object": "list", "data": data, "model": "m", "usage": usage}
            return reply(connection, json.dumps(told).encode())
        return whole(connection, request)

    upstream.answer = answer
    settings = MADE | {"semantic_cache_model": "local/m", "semantic_cache_dimensions": 0}
    with running_gateway(database, tmp_path / "home", upstream, **settings) as gateway:
        user = gateway.user()
        found = [told(ask(gateway, user, text)) for text in ("one", "two", "three")]
        assert found == [("miss", "miss"), ("miss", "miss"), ("hit", "hit")]
        with psycopg.connect(database.owner) as connection:
            connection.execute("UPDATE semantic_entry SET sealed_vector = sealed_reply")
        assert told(ask(gateway, user, "four")) == ("miss", "miss")


def test_many_at_once(gateway: RunningGateway) -> None:
    """Texts that are near each other, from several threads: all are answered and charged once
    (P1, P3).
    """
    user = gateway.user()
    with ThreadPoolExecutor(6) as pool:
        texts = [f"{FRANCE} {'please ' * (each % 3)}" for each in range(12)]
        got = [*pool.map(lambda text: ask(gateway, user, text), texts)]
    assert {each.status_code for each in got} == {200}
    assert {result(each) for each in got} <= {"hit", "miss"}
    assert gateway.open_holds() == 0
