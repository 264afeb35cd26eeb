"""A month that is closed says the same for ever, whatever is booked later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from command_api.books.commands import Closer, close_books
from domain.books.periods import bounds_of
from domain.errors import InvalidCommandError
from event_store.ids import new_uuid7, to_iso
from projections.money.as_of import read_closes
from tests.query_api.finance.test_books import accountant, figures, look
from tests.support import entries
from tests.support.admins import told
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PATH = "/finance/periods"
OPERATOR = Closer("operator:cli")
THIS = datetime.now(UTC).strftime("%Y-%m")
LAST = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")


def post(gateway: RunningGateway, user: Any, body: Any) -> tuple[int, dict[str, Any]]:
    """What closing gets."""
    with gateway.client(user) as client:
        answer = client.post(PATH, json=body)
    return answer.status_code, answer.json()


def reports(gateway: RunningGateway, user: Any, month: str) -> list[Any]:
    """All that is said of a month by effective time, where a figure leads besides."""
    end = bounds_of(month)[1]
    at, within = {"as_of": end}, {"month": month}
    paths = [("trial-balance", at), ("deferred-revenue", at)]
    paths += [(path, within) for path in ("revenue", "margin", "journal")]
    found = [
        look(gateway, user, f"/finance/{path}", by="effective", **asked).json()
        for path, asked in paths
    ]
    for each in found:
        for name in ("as_of", "from", "to"):
            each.get(name, {}).pop("known_to_position", None)
    return found


def test_a_closed_month_never_changes(gateway: RunningGateway) -> None:
    """What of then is booked after the close counts in the open period (P5, money rule 18)."""
    finance, history = accountant(gateway), History(gateway.database, users=1)
    ended = datetime.fromisoformat(bounds_of(LAST)[1]) - timedelta(days=1)
    early, late = new_uuid7(), new_uuid7()
    for account, amount in ((early, 70), (late, 30)):
        grant = entries.grant(account, amount, kind="purchase", expires_at=to_iso(ended))
        history.append(grant, entries.grant(account, 5, kind="bonus"))
    history.append(entries.hold(new_uuid7(), early, 1))
    before = reports(gateway, finance, LAST)
    assert figures(before[0])["breakage:purchase"] == before[2]["breakage_nano_usd"] == 70
    assert post(gateway, finance, {"month": LAST, "reason": "all is in"}) == (
        200,
        {"closed_until": bounds_of(LAST)[1], "changed": True},
    )
    assert reports(gateway, finance, LAST) == before
    history.append(entries.hold(new_uuid7(), late, 1))
    history.calls(5)
    assert reports(gateway, finance, LAST) == before
    now = look(gateway, finance, "/finance/revenue", by="effective", month=LAST).json()
    since = {"from": bounds_of(LAST)[1], "by": "effective"}
    later = look(gateway, finance, "/finance/revenue", **since).json()
    assert (now["breakage_nano_usd"], later["breakage_nano_usd"]) == (70, 30)
    lines = look(gateway, finance, "/finance/journal", account="breakage:purchase", **since).json()
    assert [each["amount_nano_usd"] for each in lines["lines"]] == [30]
    assert lines["lines"][0]["dated_at"] == to_iso(ended)


def test_a_close_is_told(gateway: RunningGateway) -> None:
    """Who, when, why and until when; again it changes nothing (P5)."""
    finance = accountant(gateway)
    until = bounds_of(LAST)[1]
    assert post(gateway, finance, {"month": LAST, "reason": "all is in"})[1]["changed"]
    again = post(gateway, finance, {"month": LAST, "reason": "once more"})
    assert again == (200, {"closed_until": until, "changed": False})
    found = look(gateway, finance, PATH).json()
    assert found["open_since"] == until
    (close,) = found["periods"]
    assert close["closed_until"] == until
    with gateway.database.connect() as connection:
        assert read_closes(connection) == [(close["position"], until)]


def test_what_cannot_be_closed_is_refused(gateway: RunningGateway) -> None:
    """Nothing is written, whoever asks, and whatever for (rule: refuse clearly, rule: access)."""
    finance, user = accountant(gateway), gateway.user()
    for month in (THIS, "9998-12", "2026-13", "last", "", "2026-01-01"):
        status, answer = post(gateway, finance, {"month": month, "reason": "x"})
        assert (status, answer["code"]) == (400, "invalid_value"), month
    bodies: list[Any] = [{"month": LAST}, {"month": LAST, "reason": " "}, [], {"month": 5}]
    for body in bodies:
        assert post(gateway, finance, body)[0] in {400, 422}, body
    assert post(gateway, finance, {"month": LAST, "reason": "x" * 1_001})[0] == 400
    assert post(gateway, finance, {"month": LAST, "reason": "x" * 20_000})[0] == 413
    with gateway.client(user) as client:
        refused = client.post(PATH, json={"month": LAST, "reason": "x"})
        assert told(refused) == (403, "forbidden")
        assert client.post(PATH, headers={"authorization": ""}).status_code == 401
    assert look(gateway, finance, PATH).json()["periods"] == []


def test_two_who_close_at_once_close_it_once(database: Database) -> None:
    """Each is told that it is closed; there is one event (P2, P5)."""
    with ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(
                lambda _: close_books(database, LAST, closer=OPERATOR, reason="all is in"),
                range(4),
            )
        )
    assert {each.until for each in found} == {bounds_of(LAST)[1]}
    assert [each.changed for each in found].count(True) == 1
    with database.connect() as connection:
        assert len(read_closes(connection)) == 1
    with pytest.raises(InvalidCommandError):
        close_books(database, THIS, closer=OPERATOR, reason="too early")
