"""GET /v1/calls/{id}: the story of a call, from the log itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_uuid7, now_iso
from query_api.calls.queries import call_story
from tests.support import entries
from tests.support.harness import chunk, completion, reply, stream
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
COST = 1_190_000
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def test_a_call_is_its_owners_alone(gateway: RunningGateway) -> None:
    """Another user's key sees no such call (rule: access)."""
    owner, other = gateway.user(), gateway.user()
    got = gateway.chat(owner, {})
    with gateway.client(other) as client:
        assert client.get(f"/v1/calls/{got.headers['x-gatewayz-call-id']}").status_code == 404


def test_a_call_is_found_by_the_id_of_its_reply(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """At once when the reply has ended, streamed or whole, by its owner alone
    (rule: contract, rule: access).
    """
    owner, other = gateway.user(), gateway.user()
    for made, streamed in (("up-whole", False), ("up-stream", True), ("up-whole", False)):
        upstream.answer = lambda connection, _, made=made, streamed=streamed: (
            stream(
                connection, chunk({"content": "Hi"}, id=made), chunk(None, id=made, usage=COUNTS)
            )
            if streamed
            else reply(connection, completion(id=made))
        )
        got = gateway.chat(owner, {"stream": streamed})
        with gateway.client(owner) as client:
            found = client.get("/v1/calls", params={"completion_id": made})
        # Of two with the same id the newest is meant.
        assert found.json()["id"] == got.headers["x-gatewayz-call-id"]
        assert found.json()["status"] == "settled"
        assert found.json() == gateway.story(owner, got)
    for user, asked in ((other, "up-whole"), (owner, "up-other")):
        with gateway.client(user) as client:
            got = client.get("/v1/calls", params={"completion_id": asked})
        assert (got.status_code, got.json()["error"]["code"]) == (404, "call_not_found")


def test_an_id_of_the_gateways_making_finds_its_call(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Where the provider gives none; by its owner alone (rule: contract, rule: access)."""
    upstream.answer = lambda connection, _: reply(connection, completion(id=None))
    owner, other = gateway.user(), gateway.user()
    got = gateway.chat(owner, {})
    made = got.json()["id"]
    for user, status in ((owner, 200), (other, 404)):
        with gateway.client(user) as client:
            found = client.get("/v1/calls", params={"completion_id": made})
        assert found.status_code == status
    with gateway.client(owner) as client:
        for wrong in ("chatcmpl-", f"{made}x", "chatcmpl-00000000-0000-7000-8000-000000000000"):
            assert client.get("/v1/calls", params={"completion_id": wrong}).status_code == 404


def test_an_id_that_cannot_be_looked_for_stops_no_read_model(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A provider may call its reply anything (P7, rule: bounded)."""
    user = gateway.user()
    for made in ("a" * 300, "a\0b", ""):
        upstream.answer = lambda connection, _, made=made: reply(connection, completion(id=made))
        assert gateway.chat(user, {}).status_code == 200
        if made:
            with gateway.client(user) as client:
                got = client.get("/v1/calls", params={"completion_id": made})
            assert got.status_code in (400, 404, 422)
    gateway.verified()


@pytest.mark.parametrize(("end", "status"), [(None, "held"), (entries.void, "voided")])
def test_a_story_says_what_became_of_a_hold(
    database: Database, end: Callable[[UUID, UUID], Entry] | None, status: str
) -> None:
    """What was held, extensions with it, and what went back; each event with its position (P2)."""
    call = new_uuid7()
    ends = [end(call, ACCOUNT)] if end else []
    batch = [entries.hold(call, ACCOUNT, 70), entries.extend(call, ACCOUNT, 30), *ends]
    History(database, users=1).append(entries.grant(ACCOUNT, 1_000), *batch)
    story = call_story(database, call, str(ACCOUNT))
    assert story is not None
    assert (story["status"], story["held_nano_usd"]) == (status, 100)
    assert (story["settled_nano_usd"], story["released_nano_usd"]) == (0, 100 if ends else 0)
    assert (story["usage"], story["arithmetic"], story["lots"]) == (None, None, [])
    positions = [each["position"] for each in story["events"]]
    assert positions == sorted(set(positions))
    assert len(positions) == len(batch)


def test_the_terms_of_a_charge_add_up_to_it(database: Database) -> None:
    """Units times price for each term, by the price that the hold cites (money rule 1)."""
    call, lot = new_uuid7(), new_uuid7()
    price = {
        "version": "v7",
        "source": "file",
        "effective_at": now_iso(),
        "input_per_million": "1",
        "cached_input_per_million": "0.5",
        "output_per_million": "2",
        "reasoning_per_million": "4",
        "per_request": "0.001",
    }
    place = {
        "account_id": str(ACCOUNT),
        "user_id": "-",
        "key_id": "-",
        "provider": "p",
        "model": "m",
        "amount_nano_usd": COST + 1,
        "estimated_cost_nano_usd": 0,
        "input_tokens_bound": 0,
        "output_tokens_bound": 0,
        "stream_reply": True,
        "price": price,
    }
    usage = {
        "input_tokens": 100,
        "cached_input_tokens": 20,
        "output_tokens": 40,
        "reasoning_tokens": 10,
        "source": "provider",
    }
    settle = {
        "account_id": str(ACCOUNT),
        "usage": usage,
        "cost_nano_usd": COST,
        "provider": "p",
        "cost_exact_nano_usd": str(COST),
        "price_version": "v7",
        "model": "m",
    }
    hold_state, settle_state = entries.state(**place), entries.state(**settle)
    History(database, users=1).append(
        entries.grant(ACCOUNT, COST + 1, lot=lot),
        Entry(EntryKind.HOLD, call.bytes, ACCOUNT.bytes, COST + 1, hold_state),
        Entry(EntryKind.SETTLE, call.bytes, ACCOUNT.bytes, COST, settle_state),
    )
    story = call_story(database, call, str(ACCOUNT))
    assert story is not None
    assert (story["status"], story["settled_nano_usd"]) == ("settled", COST)
    assert (story["released_nano_usd"], story["price"]) == (1, price)
    assert story["lots"] == [{"lot_id": str(lot), "amount_nano_usd": COST}]
    shown = story["arithmetic"]
    assert {each["term"]: Decimal(each["nano_usd"]) for each in shown["terms"]} == {
        "input": 80_000,
        "cached_input": 10_000,
        "output": 60_000,
        "reasoning": 40_000,
        "request": 1_000_000,
    }
    assert shown["cost_nano_usd"] == COST


def test_what_is_no_call_of_the_caller_has_no_story(database: Database) -> None:
    """Another's call, none at all, a refused one, a stream that is no call (rule: access)."""
    call, refused, nobody = new_uuid7(), new_uuid7(), str(new_uuid7())
    history = History(database, users=1)
    history.append(
        entries.grant(ACCOUNT, 10),
        entries.hold(call, ACCOUNT, 10),
        entries.hold(refused, ACCOUNT, 10),
    )
    assert call_story(database, call, str(ACCOUNT)) is not None
    assert call_story(database, call, nobody) is None
    assert call_story(database, refused, str(ACCOUNT)) is None
    assert call_story(database, new_uuid7(), str(ACCOUNT)) is None
    account, key = history.callers[0]
    assert call_story(database, key, str(account)) is None
