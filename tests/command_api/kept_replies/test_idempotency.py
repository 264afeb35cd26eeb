"""Idempotency keys: one call, one charge (P3, money rule 8)."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from command_api.composition import vault_of
from command_api.kept_replies.idempotency import StoredReply
from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from tests.command_api.serving.test_metrics import scraped
from tests.event_store.append.test_append import append
from tests.support import entries
from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    stream,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
KEY = {"Idempotency-Key": "order-1"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_repeat_gets_the_first_answer_and_no_charge(
    gateway: RunningGateway, upstream: ScriptedUpstream, streamed: bool
) -> None:
    """The same status, bytes and call id, marked replayed; one provider call (P3, money rule 8)."""
    if streamed:
        upstream.answer = lambda connection, _: stream(
            connection, chunk({"content": "x"}), USAGE, DONE
        )
    user = gateway.user()
    first = gateway.chat(user, {"stream": streamed}, **KEY)
    again = gateway.chat(user, {"stream": streamed}, **KEY)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-gatewayz-call-id"] == first.headers["x-gatewayz-call-id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(upstream.requests) == 1
    assert gateway.verified().settled_nano_usd == 4_500


def test_the_digest_is_of_the_parsed_body(gateway: RunningGateway) -> None:
    """White space and order do not matter; another body is refused (P3, money rule 8)."""
    user = gateway.user()
    bodies = [
        b'{"model":"local/m","messages":[{"role":"user","content":"Hi"}]}',
        b'{ "messages": [ {"content":"Hi", "role":"user"} ], "model": "local/m" }',
    ]
    with gateway.client(user, **KEY) as client:
        first, second = (client.post("/v1/chat/completions", content=body) for body in bodies)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.content == first.content
    other = gateway.chat(user, {"temperature": 1}, **KEY)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_another_account_has_its_own_keys(gateway: RunningGateway) -> None:
    """The scope of a key is the account (money rule 8)."""
    for _ in range(2):
        user = gateway.user()
        assert "idempotent-replayed" not in gateway.chat(user, {}, **KEY).headers


def test_while_the_first_runs_the_second_waits(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """409 in progress with Retry-After, and one charge however many come (P3, money rule 8)."""
    go = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        go.wait(10)
        reply(connection, completion())

    upstream.answer = answer
    user = gateway.user()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(gateway.chat, user, {}, **KEY) for _ in range(8)]
        eventually(lambda: sum(future.done() for future in futures) >= 7)
        go.set()
        answers = [future.result() for future in futures]
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * 7
    waiting = next(answer for answer in answers if answer.status_code == 409)
    assert waiting.json()["error"]["code"] == "idempotency_in_progress"
    assert waiting.headers["retry-after"]
    assert len(upstream.requests) == 1
    assert gateway.verified().settled_nano_usd == 4_500


def test_after_a_void_a_repeat_is_a_new_attempt_of_the_same_call(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The same call id, a new hold, one charge (P3, money rule 8)."""
    upstream.answer = lambda connection, _: reply(connection, b"{}", status=500)
    user = gateway.user()
    first = gateway.chat(user, {}, **KEY)
    assert first.status_code == 502
    upstream.answer = lambda connection, _: reply(connection, completion())
    second = gateway.chat(user, {}, **KEY)
    assert second.status_code == 200
    assert second.headers["x-gatewayz-call-id"] == first.headers["x-gatewayz-call-id"]
    story = gateway.story(user, second)
    assert [event["type"].split(".")[1] for event in story["events"]] == [
        "hold_placed",
        "hold_voided",
        "hold_placed",
        "hold_settled",
    ]
    assert [attempt["status"] for attempt in story["attempts"]] == [500, 200]
    assert gateway.verified().settled_nano_usd == 4_500


def test_a_key_refused_for_funds_stays_refused(gateway: RunningGateway) -> None:
    """The same 402, even when credits have come since (P3, money rule 8)."""
    user = gateway.user(grant=1_000)
    first = gateway.chat(user, {}, **KEY)
    assert first.status_code == 402
    users = gateway.users()
    found = users.find_user(user.user_id)
    users.close()
    assert str(found[1]) == user.account_id
    _grant(gateway, user.account_id)
    again = gateway.chat(user, {}, **KEY)
    assert again.status_code == 402
    assert again.json() == first.json()
    assert gateway.chat(user, {}, **{"Idempotency-Key": "order-2"}).status_code == 200
    gateway.verified()


def _grant(gateway: RunningGateway, account_id: str) -> None:
    import asyncio
    from uuid import UUID

    from command_api.money.grants import Grant, Grants
    from domain.ledger.lots import GrantKind

    given = Grant(account_id=UUID(account_id), amount=10**9, kind=GrantKind.PURCHASE, reason="more")
    asyncio.run(Grants(gateway.database, actor="test").give(given))


def test_a_reply_too_large_to_keep_is_named_instead(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """409 naming the call: never a second charge, never a wrong answer (P3, money rule 8)."""
    with running_gateway(
        database, tmp_path / "home", upstream, idempotency_body_bytes_max=10
    ) as gateway:
        user = gateway.user()
        first = gateway.chat(user, {}, **KEY)
        again = gateway.chat(user, {}, **KEY)
        assert again.status_code == 409
        assert first.headers["x-gatewayz-call-id"] in again.json()["error"]["message"]
        assert gateway.verified().settled_nano_usd == 4_500


def test_a_reply_that_is_not_kept_is_told(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whole or streamed, in the log with its call, and as a metric (P3, rule: observable)."""
    with running_gateway(
        database, tmp_path / "home", upstream, idempotency_body_bytes_max=10
    ) as gateway:
        user = gateway.user()
        whole = gateway.chat(user, {}, **KEY)
        upstream.answer = lambda connection, _: stream(
            connection, chunk({"content": "x" * 20}), USAGE, DONE
        )
        streamed = gateway.chat(user, {"stream": True}, **{"Idempotency-Key": "order-2"})
        for got in (whole, streamed):
            assert got.status_code == 200
            call = got.headers["x-gatewayz-call-id"]
            assert f"the reply of call {call} is not kept for its key" in caplog.text
        assert scraped(gateway)["gatewayz_replies_not_kept_total"] == 2


def test_many_keyed_calls_at_once_are_all_answered_and_kept(
    gateway: RunningGateway,
) -> None:
    """None needs a connection of its own, and each is there for a repeated request (P3)."""
    user = gateway.user(grant=10**10)
    keys = [{"Idempotency-Key": f"order-{number}"} for number in range(80)]
    with gateway.client(user) as client, ThreadPoolExecutor(16) as pool:

        def ask(key: dict[str, str]) -> httpx.Response:
            return client.post("/v1/chat/completions", json=ASK, headers=key)

        for replayed in (False, True):
            answers = list(pool.map(ask, keys))
            assert {each.status_code for each in answers} == {200}
            marked = {"idempotent-replayed" in each.headers for each in answers}
            assert marked == {replayed}
    assert gateway.verified().settled_nano_usd == 80 * 4_500


def test_a_reply_stands_or_falls_with_its_settlement(database: Database) -> None:
    """What an attempt that expired would have said is not kept for the next one (P3)."""
    append(database, entries.grant(ACCOUNT, 10_000))
    call, key = new_uuid7(), b"k" * 32 + b"d" * 32
    first = entries.hold(call, ACCOUNT, 100, key=key)
    void = entries.void(call, ACCOUNT, follows=entries.event_id(first))
    second = entries.hold(call, ACCOUNT, 100, key=key, follows=entries.event_id(void))
    late = replace(
        entries.settle(call, ACCOUNT, 50, follows=entries.event_id(first)), reply=b"late"
    )
    mine = replace(
        entries.settle(call, ACCOUNT, 60, follows=entries.event_id(second)), reply=b"mine"
    )
    codes = [append(database, entry)[0].code for entry in (first, void, second, late)]
    assert codes == [AppendCode.OK] * 3 + [AppendCode.ALREADY_RESOLVED]
    assert kept(database) == []
    assert append(database, mine)[0].code == AppendCode.OK
    assert append(database, mine)[0].code == AppendCode.DUPLICATE
    assert kept(database) == [(call, b"mine")]


def kept(database: Database) -> list[tuple[UUID, bytes]]:
    """Replies as they lie in the table."""
    with database.connect() as connection:
        rows = connection.execute("SELECT call_id, body FROM idempotent_reply").fetchall()
    return [(call_id, bytes(body)) for call_id, body in rows]


def test_a_reply_of_an_older_release_is_replayed(gateway: RunningGateway) -> None:
    """Its head lies beside what was sealed (P3)."""
    user = gateway.user()
    first = gateway.chat(user, {}, **KEY)
    vault = vault_of(gateway.settings, gateway.database)
    with gateway.database.connect() as connection:
        row = connection.execute(
            "SELECT r.call_id, r.body, u.wrapped_key FROM idempotent_reply r, user_secret u "
            "WHERE u.user_id = %s",
            [user.user_id],
        ).fetchone()
        assert row is not None
        reply_ = msgspec.msgpack.decode(vault.decrypt(row[2], row[1]), type=StoredReply)
        connection.execute(
            "UPDATE idempotent_reply SET status = %s, content_type = %s, provider = %s, body = %s",
            [
                reply_.status,
                reply_.content_type,
                reply_.provider,
                vault.encrypt(row[2], reply_.body),
            ],
        )
    again = gateway.chat(user, {}, **KEY)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"


def test_kept_replies_are_encrypted(gateway: RunningGateway) -> None:
    """Without the user's data key the kept body says nothing (P5, money rule 8)."""
    user = gateway.user()
    got = gateway.chat(user, {}, **KEY)
    text = json.loads(got.content)["choices"][0]["message"]["content"]
    with gateway.database.connect() as connection:
        row = connection.execute("SELECT body FROM idempotent_reply").fetchone()
    assert row is not None
    assert text.encode() not in bytes(row[0])


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_an_unusable_key_is_refused(gateway: RunningGateway, key: str) -> None:
    """400 that says what a key may be: an empty one protects nobody (rule: refuse clearly)."""
    got = gateway.chat(gateway.user(), {}, **{"Idempotency-Key": key})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_idempotency_key")
