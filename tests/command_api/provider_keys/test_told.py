"""What is told of calls with own keys: stories, lists, usage, the books, invoices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.roles.commands import Actor, give_role
from projections.all import projection_named
from projections.engine.rebuild import rebuild
from projections.hosting.verify import verify
from tests.command_api.provider_keys.test_calls import FULL_NANO_USD, OWN, refuse, store
from tests.support.harness import completion, eventually, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

FEE_NANO_USD = FULL_NANO_USD * 20 // 100
USED = (
    *("requests", "errors", "cost_nano_usd", "charged_nano_usd", "margin_nano_usd"),
    *("own_key_requests", "own_key_charged_nano_usd", "own_key_cost_nano_usd"),
)


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A fifth of the price is the fee."""
    with running_gateway(database, tmp_path, upstream, provider_key_fee_percent=20) as running:
        yield running


def used(gateway: RunningGateway, user: NewUser, calls: int) -> dict[str, int]:
    """The account's row of usage, once it counts so many calls."""

    def look() -> dict[str, int] | None:
        with gateway.database.connect() as connection:
            row = connection.execute(
                f"SELECT {', '.join(f'sum({each})::bigint' for each in USED)} "
                "FROM read_usage_by_hour WHERE account_id = %s",
                [user.account_id],
            ).fetchone()
        assert row is not None
        found = dict(zip(USED, row, strict=True))
        return found if found["requests"] == calls else None

    found: dict[str, int] = eventually(look)
    return found


def margin(gateway: RunningGateway) -> dict[str, Any]:
    """What finance reads."""
    user = gateway.user(0)
    operator = Actor("operator:cli")
    give_role(gateway.database, UUID(user.user_id), "finance", actor=operator, reason="books")
    with gateway.client(user) as client:
        found: dict[str, Any] = client.get("/finance/margin").json()
    return found


def test_usage_tells_own_keys_apart_and_no_margin_has_their_cost(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Calls, fees, and what their customer owes the provider stand by themselves; what the house
    paid is what its own calls cost, in usage as in the books, after a rebuild too (P4, P8).
    """
    user, rich = gateway.user(), gateway.user()
    store(gateway, user)
    for _ in range(3):
        assert gateway.chat(user, {}).status_code == 200
    upstream.answer = refuse(401)
    assert gateway.chat(user, {}).status_code == 403
    upstream.answer = lambda connection, _: reply(connection, completion())
    assert gateway.chat(rich, {}).status_code == 200
    told = {
        "requests": 4,
        "errors": 1,
        "cost_nano_usd": 0,
        "charged_nano_usd": 3 * FEE_NANO_USD,
        "margin_nano_usd": 3 * FEE_NANO_USD,
        "own_key_requests": 4,
        "own_key_charged_nano_usd": 3 * FEE_NANO_USD,
        "own_key_cost_nano_usd": 3 * FULL_NANO_USD,
    }
    assert used(gateway, user, 4) == told
    assert used(gateway, rich, 1) == {
        **dict.fromkeys(USED, 0),
        "requests": 1,
        "cost_nano_usd": FULL_NANO_USD,
        "charged_nano_usd": FULL_NANO_USD,
    }
    found = margin(gateway)
    assert found["provider_cost_nano_usd"] == FULL_NANO_USD
    assert found["providers"] == [
        {
            "provider": "local",
            "cost_nano_usd": FULL_NANO_USD,
            "cost_usd": found["provider_cost_usd"],
        }
    ]
    for name in ("usage_by_hour", "activity_log"):
        rebuild(gateway.database, projection_named(name))
    assert used(gateway, user, 4) == told
    assert verify(gateway.database).differences == []


def test_where_the_house_follows_it_is_the_house_that_paid(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A call that its own key was refused for is no call of the own key (P4)."""
    user = gateway.user()
    store(gateway, user, fallback=True)
    upstream.answer = refuse(401)
    answer = gateway.chat(user, {})
    assert answer.status_code == 200
    first, last = gateway.story(user, answer)["attempts"]
    assert (first["cost_nano_usd"], first["own_key_cost_nano_usd"]) == (0, 0)
    assert last["cost_nano_usd"] == FULL_NANO_USD
    assert used(gateway, user, 1) == {
        **dict.fromkeys(USED, 0),
        "requests": 1,
        "cost_nano_usd": FULL_NANO_USD,
        "charged_nano_usd": FULL_NANO_USD,
    }
    assert listed(gateway, user, own_key=True) == []


def listed(gateway: RunningGateway, user: NewUser, **asked: Any) -> list[dict[str, Any]]:
    """What `/v1/calls` lists."""
    with gateway.client(user) as client:
        answer = client.get("/v1/calls", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_calls_are_listed_by_whose_key_they_went_with(gateway: RunningGateway) -> None:
    """With it, without it, or all, page by page; each tells which, and what its owner owes the
    provider, and none the key (P5, rule: contract, rule: refuse clearly).
    """
    user = gateway.user()
    plain = gateway.chat(user, {}).headers["x-gatewayz-call-id"]
    key_id = store(gateway, user)
    own = [gateway.chat(user, {}).headers["x-gatewayz-call-id"] for _ in range(2)]
    with gateway.client(user) as client:
        client.patch(f"/user/provider-keys/{key_id}", json={"enabled": False})
    second = gateway.chat(user, {}).headers["x-gatewayz-call-id"]
    calls = listed(gateway, user)
    assert [each["id"] for each in calls] == [second, *own[::-1], plain]
    assert [each["own_key"] for each in calls] == [None, key_id, key_id, None]
    assert [each["own_key_cost_nano_usd"] for each in calls] == [0, *[FULL_NANO_USD] * 2, 0]
    assert [each["posted_nano_usd"] for each in calls[:2]] == [-FULL_NANO_USD, -FEE_NANO_USD]
    assert [each["id"] for each in listed(gateway, user, own_key=True)] == own[::-1]
    assert [each["id"] for each in listed(gateway, user, own_key=False)] == [second, plain]
    with gateway.client(user) as client:
        page = client.get("/v1/calls", params={"own_key": True, "limit": 1}).json()
        assert ([each["id"] for each in page["data"]], page["has_more"]) == ([own[1]], True)
        asked = {"own_key": True, "limit": 1, "before": page["next_before"]}
        page = client.get("/v1/calls", params=asked).json()
        assert ([each["id"] for each in page["data"]], page["has_more"]) == ([own[0]], False)
        for wrong in ("own_key=", "own_key=x", f"own_key={OWN}"):
            refused = client.get(f"/v1/calls?{wrong}")
            assert refused.status_code in (400, 422), wrong
            assert OWN not in refused.text
    assert OWN not in str(calls)
