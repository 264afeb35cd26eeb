"""Answers that an account gives to others: by whose word, at whose price, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from command_api.kept_replies.across import entries
from tests.command_api.api_keys.test_routes import asked, made
from tests.command_api.kept_replies.test_response_cache import ON, answers, result, text_of
from tests.support.admins import new_admin
from tests.support.harness import ASK, RunningGateway, ScriptedUpstream, running_gateway
from tests.support.organisations import with_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database

SHARED = {"x-gatewayz-cache": "shared"}
HALF = 50
OWNERS = "SELECT account_id::text FROM shared_answer"
LATER = "UPDATE shared_answer SET expires_at = now() - interval '1 second'"


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One whose operator lets accounts share, at half the price."""
    answers(upstream)
    settings: dict[str, Any] = {
        "response_cache_across_accounts": True,
        "response_cache_price_percent": HALF,
        "key_cache_s": 3600,
    }
    with running_gateway(database, tmp_path / "home", upstream, **settings) as serving:
        yield serving
        serving.verified()


def told(answer: Any) -> tuple[str, str | None]:
    """What the cache was to a call, and what sharing was."""
    return result(answer), answer.headers.get("x-gatewayz-cache-shared")


def ids(answer: Any) -> tuple[str, str]:
    """The call's id in both forms that ids of answers have."""
    call_id = str(answer.headers["x-gatewayz-call-id"])
    return call_id, call_id.replace("-", "")


def rows(gateway: RunningGateway, query: str = "SELECT * FROM shared_answer") -> list[Any]:
    """Of the shared answers."""
    with psycopg.connect(gateway.database.owner) as connection:
        return connection.execute(query).fetchall()


def changed(gateway: RunningGateway, statement: str) -> None:
    """As somebody with the owner's login."""
    with psycopg.connect(gateway.database.owner) as connection:
        connection.execute(statement)


def left(gateway: RunningGateway, user: NewUser) -> None:
    """They leave, and their key is destroyed."""
    with gateway.client(user) as client:
        body = {"confirmation": "DELETE_ACCOUNT"}
        assert client.request("DELETE", "/user/account", json=body).status_code == 200


def test_an_answer_is_given_to_another_account(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Each pays for himself, the second the share; of the first one nothing is told
    (P3, P4, P5, money rule 1, rule: access).
    """
    ann, bob = gateway.user(), gateway.user()
    first = gateway.chat(ann, {}, **SHARED)
    spent = gateway.balance(ann) | {"position": 0}
    second = gateway.chat(bob, {}, **SHARED)
    assert (told(first), told(second)) == (("miss", "miss"), ("hit", "hit"))
    assert (text_of(first), upstream.calls) == (text_of(second), 1)
    assert int(second.headers["age"]) >= 0
    story, before = gateway.story(bob, second), gateway.story(ann, first)
    assert story["charged_nano_usd"] * 100 == before["charged_nano_usd"] * HALF
    assert story["held_nano_usd"] == story["charged_nano_usd"]
    assert (story["provider"], story["cached_from"]) == ("cache", None)
    assert story["price"]["source"].startswith("shared response cache: 50 of 100 of local/m@")
    assert gateway.balance(ann) | {"position": 0} == spent
    call = first.headers["x-gatewayz-call-id"]
    assert call not in second.text + str(second.headers) + str(story)
    assert first.json()["id"] != second.json()["id"]
    assert ids(second)[1] in second.json()["id"]
    assert not any(b"secret" in bytes(each[-1]) for each in rows(gateway))
    # What he was given is not his to give, nor kept as his own.
    assert told(gateway.chat(bob, {}, **ON)) == ("miss", None)
    assert rows(gateway, OWNERS) == [(ann.account_id,)]


def test_a_stream_and_a_whole_answer_are_one(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Whichever filled it (P3, rule: wire)."""
    ann, bob = gateway.user(), gateway.user()
    first = gateway.chat(ann, {"stream": True}, **SHARED)
    whole, streamed = (gateway.chat(bob, body, **SHARED) for body in ({}, {"stream": True}))
    assert [told(each) for each in (first, whole, streamed)] == [
        *(("miss", "miss"), ("hit", "hit"), ("hit", "hit")),
    ]
    assert len({text_of(each) for each in (first, whole, streamed)}) == 1
    assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert not any(each in streamed.text + whole.text for each in ids(first))
    assert upstream.calls == 1
    with gateway.client(ann, **SHARED) as one, gateway.client(bob, **SHARED) as two:
        hello = [{"role": "user", "content": "Hi"}]
        for path, body in (
            ("/v1/messages", {"messages": hello, "max_tokens": 50}),
            ("/v1/responses", {"input": "Hi", "store": False}),
            ("/v1/completions", {"prompt": "Hi", "max_tokens": 50}),
            ("/v1/embeddings", {"input": "Hi"}),
        ):
            got = [each.post(path, json={"model": "local/m", **body}) for each in (one, two)]
            assert [told(each) for each in got] == [("miss", "miss"), ("hit", "hit")], got[1].text
            assert not any(each in got[1].text for each in ids(got[0]))
            if "id" in (second := got[1].json()):
                assert second["id"] != got[0].json()["id"]
                assert any(each in second["id"] for each in ids(got[1]))


def test_nobody_shares_who_did_not_say_so(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Neither gives nor gets; a key says it, and a request takes itself out (rule: access)."""
    ann, bob = gateway.user(), gateway.user()
    assert told(gateway.chat(ann, {}, **ON)) == ("miss", None)
    assert told(gateway.chat(bob, {}, **SHARED)) == ("miss", "miss")  # Ann's is hers.
    other = gateway.user()
    assert told(gateway.chat(other, {}, **ON)) == ("miss", None)  # Bob's is not for who says not.
    assert "x-gatewayz-cache" not in gateway.chat(other, {}).headers
    # What was kept before is not given afterwards, nor asked for by one's own hit.
    assert told(gateway.chat(ann, {}, **SHARED)) == ("hit", None)
    key = made(gateway, gateway.user(), "shares", cache={"ttl_s": 60, "shared": True})
    assert told(gateway.chat(key, {})) == ("hit", "hit")
    body: dict[str, Any] = {"seed": 1}
    assert told(gateway.chat(key, body, **{"x-gatewayz-cache": "private"})) == ("miss", None)
    assert told(gateway.chat(bob, body, **SHARED)) == ("miss", "miss")
    user = gateway.user()
    mine = made(gateway, user, "k", cache={"ttl_s": 60, "shared": True})
    asked(gateway, user, "PUT", f"/{mine.key_id}", json={"cache": {"ttl_s": 60}})
    assert told(gateway.chat(mine, body)) == ("miss", None)
    assert upstream.calls == 7


def test_what_is_ones_own_is_not_shared(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Each call is told why, and made (rule: refuse clearly, P5)."""
    ann = gateway.user()
    why: dict[str, dict[str, Any]] = {
        "member": {"user": "ann"},
        "parts": {"messages": [{"role": "user", "name": "ann", "content": "Hi"}]},
    }
    for reason, body in why.items():
        assert told(gateway.chat(ann, body, **SHARED)) == ("miss", reason)
    with gateway.client(ann, **SHARED) as client:
        stored = client.post("/v1/responses", json={"model": "local/m", "input": "Hi"})
        assert told(stored) == ("miss", "stored")
        own = {"provider": "local", "key": "sk-own-0123456789abcdefWXYZ"}
        assert client.post("/user/provider-keys", json=own).status_code == 200
    assert told(gateway.chat(ann, {}, **SHARED)) == ("miss", "own_provider_key")
    assert rows(gateway) == []
    assert upstream.calls == 4


def test_each_callers_limits_hold(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Models, providers, funds, and an offer that could be his own (P1, rule: access)."""
    ann, bob = gateway.user(), gateway.user()
    gateway.chat(ann, {}, **SHARED)
    for limits, code in (
        ({"models": ["simulator/*"]}, "model_not_allowed"),
        ({"providers": ["simulator"]}, "provider_not_allowed"),
    ):
        key = made(gateway, bob, code, **limits)
        refused = gateway.chat(key, {}, **SHARED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, code)
    poor = gateway.user(grant=0)
    refused = gateway.chat(poor, {}, **SHARED)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_credits")
    assert "x-gatewayz-cache-shared" not in refused.headers
    assert upstream.calls == 1


def test_wishes_hold_for_what_others_gave(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Age, refresh, only what is kept; one that stands is not replaced (rule: contract)."""
    ann, bob, eve = (gateway.user() for _ in range(3))
    only = SHARED | {"cache-control": "only-if-cached"}
    missed = gateway.chat(bob, {}, **only)
    assert (missed.status_code, missed.json()["error"]["code"]) == (504, "not_cached")
    first = gateway.chat(ann, {}, **SHARED)
    assert told(gateway.chat(bob, {}, **only)) == ("hit", "hit")
    assert told(gateway.chat(eve, {}, **SHARED, **{"cache-control": "max-age=0"}))[0] == "miss"
    refresh = {"x-gatewayz-cache": "refresh, shared"}
    own = gateway.chat(ann, {}, **refresh)
    assert text_of(own) != text_of(first)
    assert text_of(gateway.chat(bob, {}, **SHARED)) == text_of(first)  # Nobody picks for others.
    changed(gateway, LATER)
    later = gateway.chat(bob, {}, **SHARED)
    assert told(later) == ("miss", "miss")
    assert text_of(gateway.chat(gateway.user(), {}, **SHARED)) == text_of(later)
    assert upstream.calls == 4


def test_who_leaves_takes_along_what_they_gave(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """With their key, in one append; what came late opens to nobody (P5)."""
    ann, bob = gateway.user(), gateway.user()
    gateway.chat(ann, {}, **SHARED)
    gateway.chat(bob, {"seed": 1}, **SHARED)
    with psycopg.connect(gateway.database.owner) as connection:
        connection.execute("CREATE TABLE late AS SELECT * FROM shared_answer")
    left(gateway, ann)
    assert rows(gateway, OWNERS) == [(bob.account_id,)]
    assert told(gateway.chat(bob, {}, **SHARED)) == ("miss", "miss")
    changed(
        gateway,
        "DELETE FROM shared_answer; INSERT INTO shared_answer SELECT * FROM late;DROP TABLE late",
    )
    assert told(gateway.chat(gateway.user(), {}, **SHARED)) == ("miss", "miss")
    assert upstream.calls == 4


def test_members_and_organisations_take_theirs_along(gateway: RunningGateway) -> None:
    """Who leaves what they gave with a project's key, an organisation that closes all (P5)."""
    ann, bob = gateway.user(), gateway.user()
    of, keys = with_keys(gateway, ann, bob)
    for key in keys:
        with gateway.client(ann, Authorization=f"Bearer {key}", **SHARED) as client:
            assert told(client.post("/v1/chat/completions", json={**ASK, "user": key[-4:]}))
            made = client.post("/v1/chat/completions", json={**ASK, "stop": key[-4:]})
            assert told(made) == ("miss", "miss")
    assert len(rows(gateway)) == len(keys)
    left(gateway, bob)
    assert rows(gateway, "SELECT user_id::text, owner_id::text FROM shared_answer") == [
        (ann.user_id, of)
    ]
    with gateway.client(ann) as client:
        body = {"confirmation": "CLOSE_ORGANISATION"}
        assert client.request("DELETE", f"/organisations/{of}", json=body).status_code == 200
    assert rows(gateway) == []


def test_rows_that_are_damaged_or_moved_are_none(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Each is a miss; an admin forgets them all (P5, rule: access)."""
    ann, bob, admin = gateway.user(), gateway.user(), new_admin(gateway)
    for seed in range(3):
        gateway.chat(ann, {"seed": seed}, **SHARED)
    names = rows(gateway, "SELECT name, sealed_reply FROM shared_answer ORDER BY name")
    with psycopg.connect(gateway.database.owner) as connection:
        for (name, _), sealed in zip(names, (b"", b"x" * 500, names[0][1]), strict=True):
            connection.execute(
                "UPDATE shared_answer SET sealed_reply = %s WHERE name = %s", [sealed, name]
            )
    for seed in range(3):
        assert told(gateway.chat(bob, {"seed": seed}, **SHARED)) == ("miss", "miss")
    gateway.chat(ann, {"seed": 9}, **SHARED)
    with gateway.client(admin) as client:
        assert client.post("/health/optimizations/cache/clear").status_code == 200
    assert rows(gateway) == []
    assert told(gateway.chat(bob, {"seed": 9}, **SHARED)) == ("miss", "miss")
    assert upstream.calls == 8


def test_an_account_gives_so_many_at_a_time(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes beyond is its own alone, until others end (rule: bounded)."""
    monkeypatch.setattr(entries, "ACCOUNT_ENTRIES_MAX", 2)
    ann, bob = gateway.user(), gateway.user()
    for seed in range(3):
        gateway.chat(ann, {"seed": seed}, **SHARED)
    assert len(rows(gateway)) == 2
    assert told(gateway.chat(bob, {"seed": 2}, **SHARED)) == ("miss", "miss")
    assert len(rows(gateway)) == 3
    changed(gateway, LATER)
    gateway.chat(ann, {"seed": 4}, **SHARED)
    assert told(gateway.chat(bob, {"seed": 4}, **SHARED)) == ("hit", "hit")


def test_a_vector_is_not_shared(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The call for it is of a key that shares, and the text it is made of stays (rule: access)."""
    answers(upstream)
    settings: dict[str, Any] = {
        "response_cache_across_accounts": True,
        "semantic_cache_model": "local/m",
        "semantic_cache_wait_s": 30,
    }
    with running_gateway(database, tmp_path / "home", upstream, **settings) as gateway:
        wish = {"ttl_s": 60, "shared": True, "semantic": {}}
        key = made(gateway, gateway.user(), "k", cache=wish)
        assert told(gateway.chat(key, {})) == ("miss", "miss")
        assert upstream.calls == 2
        assert len(rows(gateway)) == 1


def test_without_the_operators_word_nothing_is_shared(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Whatever keys and requests say; what was given before is not told (rule: access)."""
    answers(upstream)
    with running_gateway(
        database, tmp_path / "on", upstream, response_cache_across_accounts=True
    ) as gateway:
        ann, bob = gateway.user(), gateway.user()
        gateway.chat(ann, {}, **SHARED)
    with running_gateway(database, tmp_path / "off", upstream) as gateway:
        assert told(gateway.chat(bob, {}, **SHARED)) == ("miss", "not_enabled")
        assert told(gateway.chat(bob, {}, **SHARED)) == ("hit", None)
        key = made(gateway, gateway.user(), "k", cache={"ttl_s": 60, "shared": True})
        assert told(gateway.chat(key, {})) == ("miss", "not_enabled")
        assert len(rows(gateway)) == 1
        gateway.verified()
