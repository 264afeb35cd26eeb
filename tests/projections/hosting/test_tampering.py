"""A log that somebody changed behind the triggers' back: `ledger verify` names what was done.

Each test changes a copy of a good log as a superuser would, triggers off. After most changes the
inline state and the read models are made to agree, as a careful forger would make them: what
is left to find it is the log itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from domain.events import ledger as ev
from domain.events.catalog import PricePublished
from domain.events.quotas import QuotaSet
from event_store.ids import new_uuid7
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from projections.hosting.verify import DIFFERENCES_MAX, FORGET_EVENTS, Report, verify
from tests.conftest import fresh_database
from tests.support import entries
from tests.support.history import History
from tests.support.quotas import set_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from event_store.postgres.database import Database

    Connection = psycopg.Connection[Any]

EVENTS_MAX = 10_000
PLACED, SETTLED = ev.HoldPlaced.TOPIC, ev.HoldSettled.TOPIC


@pytest.fixture(scope="module")
def good(server: Database) -> Iterator[Database]:
    """A log with every kind of event, and its read models; never changed itself."""
    with fresh_database(server) as made:
        history = History(made, users=3)
        history.calls(60)
        account = history.callers[0][0]
        call, again = new_uuid7(), new_uuid7()
        key = bytes(range(64))
        void = entries.void(again, account)
        history.append(entries.hold(again, account, 50, key=key))
        history.append(void)
        ended = UUID(void.event_id.decode())
        history.append(entries.hold(again, account, 70, key=key, follows=ended))
        history.append(entries.extend(again, account, 10))
        history.append(entries.settle(again, account, 60))
        history.append(entries.settle(again, account, 65))  # Late: booked as house loss.
        history.append(entries.hold(call, account, 1_000))
        own = history.callers[0][1]
        second, theirs = history.callers[1][:2]
        set_quota(made, second, "key", theirs, "tokens", "day", 500)
        set_quota(made, account, "key", own, "tokens", "day", 500)
        set_quota(made, account, "account", account, "nano_usd", "total", 10**18)
        bound = [new_uuid7() for _ in range(4)]
        history.append(
            *(entries.hold(each, account, 90, tokens=100, scopes=(own, own)) for each in bound)
        )
        history.append(entries.extend(bound[0], account, 20, tokens=10))
        history.append(entries.extend(bound[2], account, 5))
        history.append(entries.settle(bound[0], account, 100))
        history.append(entries.settle(bound[1], account, 350))
        history.append(entries.hold(new_uuid7(), second, 9, tokens=100, scopes=(theirs, theirs)))
        history.append(entries.hold(new_uuid7(), account, 10**15, key=bytes(reversed(key))))
        with made.connect() as connection:
            for projection in PROJECTIONS:
                Runner(projection).advance(connection, EVENTS_MAX)
        yield made


@pytest.fixture
def copy(good: Database) -> Iterator[Connection]:
    """A copy of it, as its superuser, triggers off."""
    with fresh_database(good) as made, made.connect_as_owner() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT set_config('test.name', %s, false)", [made.parts()["dbname"]])
        yield connection


def found(server: Database, connection: Connection) -> list[str]:
    """What verification says now."""
    row = connection.execute("SELECT current_setting('test.name')").fetchone()
    assert row is not None
    return verify(server.with_name(row[0])).differences


def one(connection: Connection, topic: str, place: int = 0) -> tuple[int, dict[str, Any]]:
    """The position and the state of an event of this type."""
    row = connection.execute(
        "SELECT notification_id, state FROM events WHERE topic = %s "
        "ORDER BY notification_id OFFSET %s LIMIT 1",
        [topic, place],
    ).fetchone()
    assert row is not None
    return row[0], json.loads(bytes(row[1]))


def rewrite(connection: Connection, position: int, state: dict[str, Any]) -> None:
    """Put another state in its place."""
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode()
    connection.execute("UPDATE events SET state = %s WHERE notification_id = %s", [text, position])


def test_the_log_itself_is_right(good: Database) -> None:
    """So what the others find was put there (P8)."""
    report = verify(good)
    assert report.differences == []
    assert report.charges > 40
    assert report.events > 100


def _dearer(state: dict[str, Any]) -> None:
    state["price"]["output_per_million"] = "0.009"


def _other_version(state: dict[str, Any]) -> None:
    state["price"]["version"] = "openrouter/org/large@000000000000"


def _other_usage(state: dict[str, Any]) -> None:
    state["usage"]["output_tokens"] += 1


def _negative_usage(state: dict[str, Any]) -> None:
    state["usage"]["output_tokens"] = -1


def _other_price(state: dict[str, Any]) -> None:
    state["price_version"] = "openrouter/org/other@0123456789ab"


def _dearer_call(state: dict[str, Any]) -> None:
    """All the figures of the event agree with each other, and the money with its lots."""
    state["cost_nano_usd"] += 1
    state["cost_exact_nano_usd"] = str(state["cost_nano_usd"])
    state["settled_nano_usd"] += 1
    state["released_nano_usd"] -= 1
    state["lots"][0]["amount_nano_usd"] += 1
    state["released_lots"][0]["amount_nano_usd"] -= 1


def _loss_of_a_void(state: dict[str, Any]) -> None:
    state["house_loss_nano_usd"] = 5 * 10**9


def _other_request(state: dict[str, Any]) -> None:
    state["correlation_id"] = "another"


def _other_actor(state: dict[str, Any]) -> None:
    state["actor"] = f"api_key:{new_uuid7()}"


def _other_cause(state: dict[str, Any]) -> None:
    state["causation_id"] = str(new_uuid7())


def _other_account(state: dict[str, Any]) -> None:
    state["account_id"] = str(new_uuid7())


def _lacks_a_member(state: dict[str, Any]) -> None:
    del state["usage"]


def _has_a_member_more(state: dict[str, Any]) -> None:
    state["note"] = "x"


def _amount_as_text(state: dict[str, Any]) -> None:
    state["amount_nano_usd"] = str(state["amount_nano_usd"])


def _amount_as_fraction(state: dict[str, Any]) -> None:
    state["amount_nano_usd"] = state["amount_nano_usd"] + 0.5


def _amount_below_zero(state: dict[str, Any]) -> None:
    state["amount_nano_usd"] = -state["amount_nano_usd"]


def _amount_beyond_all(state: dict[str, Any]) -> None:
    state["amount_nano_usd"] = 2**63


def _no_instant(state: dict[str, Any]) -> None:
    state["effective_at"] = "yesterday"


def _hidden_id(state: dict[str, Any]) -> None:
    state["attempts"], state["id"] = [{"id": str(new_uuid7())}], state.pop("id")


CHANGES: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    (PLACED, _dearer, "whose terms are not those of"),
    (PLACED, _other_version, "whose terms are not those of"),
    (SETTLED, _other_usage, "but its usage at its price costs"),
    (SETTLED, _negative_usage, "states a usage that cannot be"),
    (SETTLED, _other_price, "which its hold does not state"),
    (SETTLED, _dearer_call, "but its usage at its price costs"),
    (ev.HoldVoided.TOPIC, _loss_of_a_void, "is void and books a loss of 5000000000"),
    (SETTLED, _other_request, "has the request id 'another'"),
    (PLACED, _other_actor, "whose key is"),
    (SETTLED, _other_actor, "is by api_key:"),
    (SETTLED, _other_cause, "as its cause, its hold is"),
    (SETTLED, _other_account, "its hold of"),
    (SETTLED, _lacks_a_member, "usage"),
    (SETTLED, _has_a_member_more, "note"),
    (PLACED, _amount_as_text, "Expected `int`, got `str`"),
    (PLACED, _amount_as_fraction, "Expected `int`, got `float`"),
    (ev.CreditsGranted.TOPIC, _amount_below_zero, "Expected `int` >= 0"),
    (ev.CreditsGranted.TOPIC, _amount_beyond_all, "Expected `int` <= "),
    (SETTLED, _no_instant, "Invalid RFC3339"),
    (SETTLED, _hidden_id, "its id is hidden"),
]


@pytest.mark.parametrize(
    ("topic", "change", "said"), CHANGES, ids=lambda each: getattr(each, "__name__", str(each))[:40]
)
def test_a_changed_event_is_named_by_its_position(
    topic: str,
    change: Callable[[dict[str, Any]], None],
    said: str,
    good: Database,
    copy: Connection,
) -> None:
    """A price, an amount, a usage, a binding, a member: named with what is wrong (P4, P5)."""
    position, state = one(copy, topic)
    change(state)
    rewrite(copy, position, state)
    assert any(f"position {position}" in each and said in each for each in found(good, copy))


def test_a_price_that_the_catalog_never_had_is_named(good: Database, copy: Connection) -> None:
    """A published price has the name of its content (P4, money rule 12)."""
    position, state = one(copy, PricePublished.TOPIC)
    state["price"]["output_per_million"] = "123"
    rewrite(copy, position, state)
    assert any(f"position {position} publishes a price" in each for each in found(good, copy))


def copy_of(connection: Connection, position: int, *, new_id: bool) -> dict[str, Any]:
    """Insert a copy of a grant behind the log, as its stream's next event."""
    row = connection.execute(
        "SELECT originator_id, topic, state FROM events WHERE notification_id = %s", [position]
    ).fetchone()
    assert row is not None
    state: dict[str, Any] = json.loads(bytes(row[2]))
    if new_id:
        state["id"] = str(new_uuid7())
    connection.execute(
        "INSERT INTO events (originator_id, originator_version, topic, state) "
        "SELECT %s, max(originator_version) + 1, %s, %s FROM events WHERE originator_id = %s",
        [row[0], row[1], json.dumps(state, separators=(",", ":")).encode(), row[0]],
    )
    connection.execute(
        "UPDATE credit_account SET version = version + 1, granted = granted + %s, "
        "available = available + %s WHERE account_id = %s",
        [state["amount_nano_usd"], state["amount_nano_usd"], state["account_id"]],
    )
    return state


def test_a_copied_grant_is_named(good: Database, copy: Connection) -> None:
    """By its event's id, and with a new one by its lot (P1, P3)."""
    position, _ = one(copy, ev.CreditsGranted.TOPIC)
    state = copy_of(copy, position, new_id=False)
    differences = found(good, copy)
    assert any(f"the event {state['id']} stands at {position} too" in each for each in differences)
    assert any(f"lot {state['lot_id']} was granted before" in each for each in differences)


def test_a_grant_under_a_new_id_and_lot_lacks_its_key(good: Database, copy: Connection) -> None:
    """The lots that were ever given are listed beside the log (P3)."""
    position, _ = one(copy, ev.CreditsGranted.TOPIC)
    copy_of(copy, position, new_id=True)
    copy.execute(
        "UPDATE events SET state = convert_to(replace(convert_from(state, 'UTF8'), "
        "convert_from(state, 'UTF8')::json ->> 'lot_id', %s), 'UTF8') "
        "WHERE notification_id = (SELECT max(notification_id) FROM events)",
        [str(lot := new_uuid7())],
    )
    assert any(each.startswith(f"grant_key {lot}") for each in found(good, copy))


def _more_used(state: dict[str, Any]) -> None:
    state["quotas"][0]["used"] -= 1


def _no_quotas(state: dict[str, Any]) -> None:
    del state["quotas"]


def _fewer_tokens(state: dict[str, Any]) -> None:
    state["usage"] = {"input_tokens": 0, "output_tokens": state["cost_nano_usd"] // 2}


@pytest.mark.parametrize("change", [_more_used, _no_quotas, _fewer_tokens])
def test_a_use_of_quotas_that_the_usage_does_not_come_to_is_named(
    change: Callable[[dict[str, Any]], None], good: Database, copy: Connection
) -> None:
    """It is worked out anew from the usage of each settlement (money rule 13, P8)."""
    row = copy.execute(
        "SELECT notification_id, state FROM events WHERE topic = %s "
        "AND position('quotas'::bytea IN state) > 0",
        [SETTLED],
    ).fetchone()
    assert row is not None
    state = json.loads(bytes(row[1]))
    change(state)
    rewrite(copy, row[0], state)
    said = f"position {row[0]} breaks the rules: a hold's quotas"
    assert any(each.startswith(said) for each in found(good, copy))


def test_a_lowered_limit_in_the_log_is_named(good: Database, copy: Connection) -> None:
    """What was held under it goes beyond it (money rule 13)."""
    row = copy.execute(
        "SELECT notification_id, state FROM events WHERE topic = %s "
        "ORDER BY notification_id DESC LIMIT 1",
        [QuotaSet.TOPIC],
    ).fetchone()
    assert row is not None
    rewrite(copy, row[0], {**json.loads(bytes(row[1])), "limit": 150})
    assert any("goes beyond its limit" in each for each in found(good, copy))


@pytest.mark.parametrize("topic", [PLACED, SETTLED, ev.HoldVoided.TOPIC, ev.HoldExtended.TOPIC])
def test_a_removed_event_leaves_a_hole(topic: str, good: Database, copy: Connection) -> None:
    """Its stream goes on from nothing, or a hold stays open (P2, P5)."""
    position, _ = one(copy, topic)
    copy.execute("DELETE FROM events WHERE notification_id = %s", [position])
    report = found(good, copy)
    assert any("breaks the rules" in each or each.startswith("open_hold") for each in report)
    assert verify_of(good, copy).positions_unused >= 1


def verify_of(server: Database, connection: Connection) -> Report:
    """The whole report."""
    row = connection.execute("SELECT current_setting('test.name')").fetchone()
    assert row is not None
    return verify(server.with_name(row[0]))


def test_events_in_another_order_are_named(good: Database, copy: Connection) -> None:
    """A settlement before its hold, though each is as it was (P5, P7)."""
    row = copy.execute(
        "SELECT h.notification_id, s.notification_id FROM events h JOIN events s "
        "USING (originator_id) WHERE h.topic = %s AND s.topic = %s "
        "ORDER BY h.notification_id LIMIT 1",
        [PLACED, SETTLED],
    ).fetchone()
    assert row is not None
    held, settled = row
    for before, after in ((held, -1), (settled, held), (-1, settled)):
        copy.execute(
            "UPDATE events SET notification_id = %s WHERE notification_id = %s", [after, before]
        )
    differences = found(good, copy)
    assert any(
        f"position {settled}: version 1" in each or "follows version" in each
        for each in differences
    )
    assert any(f"position {held} breaks the rules" in each for each in differences)


def test_a_late_outcome_is_recomputed_too(good: Database, copy: Connection) -> None:
    """Its call has ended, so its hold is read anew (P4, money rule 11)."""
    position, state = one(copy, ev.HouseLossBooked.TOPIC)
    state["house_loss_nano_usd"] += 1
    rewrite(copy, position, state)
    said = f"position {position} books a loss of {state['house_loss_nano_usd']}"
    assert any(said in each for each in found(good, copy))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM idempotency_key WHERE state = 'refused'", "idempotency_key: none is stored"),
        (
            "DELETE FROM idempotency_key WHERE state <> 'refused'",
            "idempotency_key: none is stored for call",
        ),
        ("UPDATE idempotency_key SET state = 'voided'", "the log says"),
        ("UPDATE idempotency_key SET call_id = gen_random_uuid()", "the log says None"),
        ("UPDATE idempotency_pruned SET position = 1000000", "the log says None"),
        ("DELETE FROM grant_key", "grant_key "),
        ("UPDATE credit_account SET version = version + 1", "stored at version"),
        ("DELETE FROM open_hold", "open_hold "),
        ("UPDATE quota SET quota_limit = quota_limit - 1", "quota "),
        ("UPDATE quota SET removed = true", "quota "),
        ("UPDATE quota SET zone = 'Asia/Tokyo' WHERE period = 'day'", "quota "),
        ("DELETE FROM quota", "quota "),
        ("UPDATE quota_window SET used = 0", "quota_window "),
        ("UPDATE quota_cell SET used_tokens = used_tokens + 1", "quota_window "),
        ("UPDATE quota_cell SET held_nano_usd = held_nano_usd - 1", "quota_window "),
        ("UPDATE quota_cell SET begins[1] = 'epoch'", "open_hold "),
        ("UPDATE quota_cell SET holds = holds + 1", "quota_cell "),
        ("UPDATE quota_cell SET left_tokens = 401, live = true", "quota_cell "),
        ("UPDATE credit_account SET lent_tokens = 10 ^ 18 WHERE home_id > 0", "quota_cell "),
        ("UPDATE credit_account SET used_tokens = used_tokens + 1", "quota_window "),
        ("UPDATE open_hold SET quota_tokens = quota_tokens - 1", "open_hold "),
        ("DELETE FROM quota_cell", "open_hold "),
        ("UPDATE quota_window SET held = held + 1", "quota_window "),
        ("DELETE FROM quota_window WHERE held > 0", "quota_window "),
        ("UPDATE open_hold SET quota_amounts = NULL", "open_hold "),
        ("UPDATE credit_account SET bound = NOT bound", "credit_account "),
        ("UPDATE credit_lot SET bound = NOT bound", "credit_lot "),
    ],
)
def test_inline_state_that_differs_is_named(
    change: str, said: str, good: Database, copy: Connection
) -> None:
    """Keys, lots, versions and open holds are a cache of the log (P3, P8)."""
    copy.execute(change)
    assert any(said in each for each in found(good, copy))


_MADE = "(SELECT min(key_hash) FROM api_key WHERE name NOT IN ('spare', 'rotated'))"

_ONE_MORE = (
    "INSERT INTO api_key (key_hash, key_id, user_id, account_id, masked, name) "
    "SELECT 'aa', gen_random_uuid(), user_id, account_id, masked, name FROM api_key "
    f"WHERE key_hash = {_MADE}"
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE api_key SET revoked = NOT revoked WHERE name = 'spare'", "revoked is False"),
        (f"UPDATE api_key SET account_id = gen_random_uuid() WHERE key_hash = {_MADE}", "account"),
        (f"UPDATE api_key SET user_id = gen_random_uuid() WHERE key_hash = {_MADE}", "user_id is"),
        (f"UPDATE api_key SET key_hash = 'aa' WHERE key_hash = {_MADE}", "none is stored"),
        (f"UPDATE api_key SET masked = 'x' WHERE key_hash = {_MADE}", "masked is 'x'"),
        (f"UPDATE api_key SET name = 'x' WHERE key_hash = {_MADE}", "name is 'x'"),
        (f"UPDATE api_key SET expires_at = now() WHERE key_hash = {_MADE}", "expires_at is '2"),
        ("UPDATE api_key SET expires_at = NULL WHERE replaced", "expires_at is None"),
        ("UPDATE api_key SET replaced = false WHERE replaced", "replaced is False"),
        (f"UPDATE api_key SET active = false WHERE key_hash = {_MADE}", "active is False"),
        (f"UPDATE api_key SET deleted = true WHERE key_hash = {_MADE}", "deleted is True"),
        (f"UPDATE api_key SET environment = 'test' WHERE key_hash = {_MADE}", "environment is 't"),
        (
            f"UPDATE api_key SET limits = '{{\"models\": []}}' WHERE key_hash = {_MADE}",
            "limits is {'models",
        ),
        (f"UPDATE api_key SET position = 9999 WHERE key_hash = {_MADE}", "position is 9999"),
        (f"DELETE FROM api_key WHERE key_hash = {_MADE}", "none is stored"),
        (_ONE_MORE, "the log has none such"),
    ],
)
def test_a_key_that_is_not_the_logs_is_named(
    change: str, said: str, good: Database, copy: Connection
) -> None:
    """What opens, for whom and until when is a cache of the log (P5, P8)."""
    copy.execute("DROP INDEX api_key_current_idx")
    copy.execute(change)
    assert any(each.startswith("api_key ") and said in each for each in found(good, copy))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE organisation_member SET role = 'viewer' WHERE role = 'owner'", "member "),
        ("UPDATE organisation_member SET role = 'owner' WHERE role IS NULL", "member "),
        ("DELETE FROM organisation_member", "member "),
        ("UPDATE organisation SET account_id = gen_random_uuid()", "organisation "),
        ("UPDATE organisation SET closed = NOT closed", "organisation "),
        ("DELETE FROM organisation", "organisation "),
        ("UPDATE project SET account_id = gen_random_uuid()", "project "),
        ("UPDATE project SET organisation_id = gen_random_uuid()", "project "),
        ("UPDATE project SET archived = NOT archived", "project "),
        ("DELETE FROM project", "project "),
    ],
)
def test_a_membership_that_is_not_the_logs_is_named(
    change: str, said: str, good: Database, copy: Connection
) -> None:
    """Who is what in which organisation is a cache of the log (P8, rule: access)."""
    copy.execute(change)
    assert any(each.startswith(said) for each in found(good, copy))


def test_calls_that_were_let_go_are_read_anew(
    good: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further attempt and a late outcome are right, however long ago the call ended (P8)."""
    assert FORGET_EVENTS > 1
    monkeypatch.setattr("projections.hosting.verify.FORGET_EVENTS", 1)
    assert verify(good).differences == []


def test_differences_beyond_a_maximum_are_counted() -> None:
    """A log that is wrong throughout still gives a report (rule: bounded)."""
    report = Report()
    for number in range(DIFFERENCES_MAX + 3):
        report.differ(str(number))
    assert (len(report.differences), report.unnamed_differences) == (DIFFERENCES_MAX, 3)
