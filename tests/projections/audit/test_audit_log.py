"""The audit tells every act, the same from the log and from the read model, and no secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from domain.events.access import AdminRead, UserRoleChanged
from domain.events.all import EVENT_CLASSES
from domain.events.base import Event
from domain.events.identity import ApiKeyRevoked
from domain.identity.key_format import KEY_PATTERN
from event_store.ids import new_uuid7
from event_store.log.reading import LogEntry
from projections.audit.audit_log import line_of
from projections.audit.from_log import audit_from_log
from projections.audit.queries import Wanted, count_audit, read_audit
from projections.audit.telling import Subject, Told
from projections.audit.told import ACTIONS, NOT_AUDITED, TOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.audit.audit_log import Line
    from tests.support.projected import Projected

SECRETS = re.compile(r"hash|cipher|secret|sealed|wrapped|digest|password|email|token$")
"""What a member with a secret or an address is called."""


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TOPIC)
def test_every_event_is_told_or_named_as_not(cls: type[Event]) -> None:
    """One line in one of the two tables, and members that there are (rule: observable)."""
    not_told = issubclass(cls, tuple(NOT_AUDITED))
    assert (cls in TOLD) != not_told, f"{cls.TOPIC}: a line in TOLD, or a reason in NOT_AUDITED"
    if not_told:
        return
    told, known = TOLD[cls], {each.name for each in fields(cls)}
    for members in (told.before, told.after):
        names = {members} if isinstance(members, str) else set(members.values())
        assert names <= known
        assert not [name for name in names if SECRETS.search(name)]
    assert {told.subject_in, told.kind_in} <= {"", *known}


def all_lines(projected: Projected, wanted: Wanted = Wanted()) -> list[Line]:  # noqa: B008
    """Of the read model, oldest first."""
    return read_audit(projected.select, wanted, limit=1_000)[::-1]


def from_log(projected: Projected, wanted: Wanted = Wanted()) -> list[Line]:  # noqa: B008
    """Of the log."""
    with projected.connection.transaction():
        return list(audit_from_log(projected.connection, wanted))


def text(lines: Sequence[Line]) -> str:
    """All that stands in lines."""
    return "\n".join(str(each) for line in lines for each in line)


def test_the_history_has_every_action(projected: Projected) -> None:
    """Each of them is told of a history with every event; calls are not (rule: observable)."""
    lines = all_lines(projected)
    assert {each.action for each in lines} == set(ACTIONS)
    audited = [each for each in projected.entries if type(each.event) in TOLD]
    assert [each.position for each in lines] == [each.position for each in audited]
    assert {each.actor_kind for each in lines} == {"api_key", "operator:cli", "system"}


def test_no_secret_is_in_any_line(projected: Projected) -> None:
    """No key, no digest of one, no ciphertext, no address (P5)."""
    said = text([*all_lines(projected), *from_log(projected)])
    assert not re.search(KEY_PATTERN, said)
    assert "@" not in said
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", said)
    hidden = 0
    for event in projected.events:
        for name, value in vars(event).items():
            if SECRETS.search(name) and isinstance(value, str) and value:
                hidden += 1
                assert value not in said
    assert hidden > 10
    assert not re.search(r"[0-9a-f]{48}", said)


def test_the_log_and_the_read_model_say_the_same(projected: Projected) -> None:
    """Line by line, with the user whom the inline state knows, for every filter (P8)."""
    users = projected.select("SELECT user_id FROM user_secret ORDER BY 1", [])
    middle = projected.entries[len(projected.entries) // 2].booked_at
    filters = [
        Wanted(),
        *(Wanted(user_id=user) for (user,) in users),
        *(Wanted(actions=(each,)) for each in ACTIONS),
        Wanted(since=middle),
        Wanted(until=middle),
        Wanted(user_id=users[0][0], since=middle, actions=("role.changed", "data.read")),
    ]
    for wanted in filters:
        lines = all_lines(projected, wanted)
        assert lines == from_log(projected, wanted), wanted
        assert count_audit(projected.select, wanted) == len(lines)
    whole = all_lines(projected)
    assert len(whole) == sum(
        len(all_lines(projected, wanted)) for wanted in filters[1 : len(users) + 1]
    ) + len([each for each in whole if each.user_id is None])


def test_a_key_and_an_account_lead_to_their_user(projected: Projected) -> None:
    """Though the event does not name the user (rule: observable)."""
    lines = all_lines(projected)
    user = next(each.user_id for each in lines if each.action == "api_key.revoked")
    of_user = all_lines(projected, Wanted(user_id=UUID(user)))
    assert {each.action for each in of_user} >= {
        "user.registered",
        "api_key.created",
        "api_key.revoked",
        "api_key.rotated",
        "credits.granted",
        "role.changed",
    }
    key = next(each.key_id for each in of_user if each.action == "api_key.rotated")
    of_key = all_lines(projected, Wanted(key_id=UUID(key)))
    assert [each.action for each in of_key] == ["api_key.created", "api_key.rotated"]


def test_pages_join_without_a_gap(projected: Projected) -> None:
    """By offset and by cursor, newest first (rule: contract)."""
    whole = all_lines(projected)[::-1]
    paged = [
        line
        for offset in range(0, len(whole), 7)
        for line in read_audit(projected.select, Wanted(), limit=7, offset=offset)
    ]
    assert paged == whole
    below, joined = None, list[Any]()
    while part := read_audit(projected.select, Wanted(below=below), limit=5):
        joined += part
        below = part[-1].position
    assert joined == whole
    assert count_audit(projected.select, Wanted(), most=3) == 3


def test_a_change_of_a_role_is_told_whole() -> None:
    """Before and after, who and why, from where; an empty reason is empty (rule: observable)."""
    stream, by = new_uuid7(), str(new_uuid7())
    event = UserRoleChanged(
        originator_id=stream,
        originator_version=2,
        id=str(new_uuid7()),
        effective_at="2026-01-01T00:00:00.000000Z",
        actor="api_key:k",
        correlation_id="c",
        from_role="user",
        to_role="admin",
        by_user_id=by,
        origin="origin-00",
    )
    line = line_of(LogEntry(9, datetime.now(UTC), event))
    assert line is not None
    assert (line.action, line.subject_kind, line.subject_id) == (
        "role.changed",
        "user",
        str(stream),
    )
    assert (line.user_id, line.actor_user_id, line.actor_kind) == (str(stream), by, "api_key")
    assert (line.origin, line.reason) == ("origin-00", "")
    assert msgspec.json.decode(line.before) == {"role": "user"}
    assert msgspec.json.decode(line.after) == {"role": "admin"}


@dataclass(frozen=True, kw_only=True)
class Limited(Event):
    """An event that says itself what it is about, as those of limits do."""

    TOPIC = "limited.v1"
    CATEGORY = "limited"

    scope: str
    scope_id: str


@pytest.mark.parametrize("scope", ["user", "key", "account", "system"])
def test_an_event_may_say_itself_what_it_is_about(
    scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user, a key or an account leads to the user concerned; another leads nowhere
    (rule: observable).
    """
    told = Told("limited", Subject.USER, subject_in="scope_id", kind_in="scope")
    monkeypatch.setitem(TOLD, Limited, told)
    named = str(new_uuid7())
    event = Limited(
        originator_id=new_uuid7(),
        originator_version=1,
        id=str(new_uuid7()),
        effective_at="2026-01-01T00:00:00.000000Z",
        actor="operator:cli",
        correlation_id="c",
        scope=scope,
        scope_id=named,
    )
    line = line_of(LogEntry(1, datetime.now(UTC), event))
    assert line is not None
    assert (line.subject_kind, line.subject_id) == (scope, named)
    found = {"user": line.user_id, "key": line.key_id, "account": line.account_id}
    assert {kind for kind, value in found.items() if value} == {scope} - {"system"}


def test_odd_texts_of_events_do_not_stop_the_audit() -> None:
    """A NUL, which no column holds, and ids that are none (P7)."""
    envelope: dict[str, Any] = {
        "originator_id": new_uuid7(),
        "originator_version": 1,
        "id": str(new_uuid7()),
        "effective_at": "2026-01-01T00:00:00.000000Z",
        "correlation_id": "c",
    }
    odd = AdminRead(**envelope, actor="a\0b", by_user_id="-", user_id="?", route="/\0")
    line = line_of(LogEntry(1, datetime.now(UTC), odd))
    assert line is not None
    assert (line.actor, line.actor_user_id, line.user_id) == ("ab", None, None)
    assert "\0" not in "".join(str(each) for each in line)
    revoked = ApiKeyRevoked(**envelope, actor="x", reason="be\0cause")
    told = line_of(LogEntry(1, datetime.now(UTC), revoked))
    assert told is not None
    assert told.reason == "because"
