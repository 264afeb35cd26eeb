"""`activity_log`: what happened on an account, newest last: calls, grants, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
    UserRegistered,
)
from domain.events.ledger import (
    CreditsGranted,
    HoldRefused,
    HoldResolved,
    HoldSettled,
    LotExpired,
)
from projections.call_facts import UNKNOWN, facts_of, key_id_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, key

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

COMPLETION_ID_CHARACTERS_MAX = 256
"""What is longer is not looked for as the id of a reply."""
KEY_EVENTS = (ApiKeyCreated, ApiKeyChanged, ApiKeyRotated, ApiKeyRevoked, ApiKeyDeleted)

ACTIVITY = Table(
    name="activity_log",
    about="One row for each call that ended, grant, expiry, key change and registration.",
    columns=(
        key("position", "bigint"),
        Column(
            "account_id", "uuid", Merge.ONCE, about="Empty for a revoked key, whose id names it."
        ),
        Column(
            "activity", "text", Merge.ONCE, about="The event's type without prefix and version."
        ),
        Column("key_id", "text", Merge.ONCE),
        Column("call_id", "uuid", Merge.ONCE),
        Column("provider", "text", Merge.ONCE),
        Column("model", "text", Merge.ONCE),
        *amounts("input_tokens", "output_tokens"),
        *amounts("amount_nano_usd", about="What it did to the posted balance."),
        Column("duration_ms", "bigint", Merge.ONCE),
        Column("first_output_ms", "bigint", Merge.ONCE),
        Column("booked_at", "timestamptz", Merge.ONCE),
        Column("completion_id", "text", Merge.ONCE, about="The `id` of a charged call's reply."),
        Column(
            "own_key",
            "text",
            Merge.ONCE,
            about="Id of the customer's own provider key that a call went with; empty for the "
            "house's, NULL where there is no call.",
        ),
        *amounts(
            "own_key_cost_nano_usd",
            about="What the key's owner owes the provider for it, at the catalog's price.",
        ),
    ),
    appended=True,
    indexes=(
        *("account_id, position DESC", "account_id, completion_id"),
        "account_id, position DESC WHERE own_key <> ''",
    ),
)


class ActivityLog(Projection):
    """See the module."""

    name = "activity_log"
    about = "What happened on each account."
    tables = (ACTIVITY,)
    revision = 5
    handles = (
        *(HoldResolved, HoldRefused, CreditsGranted, LotExpired),
        *(UserRegistered, *KEY_EVENTS),
    )

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write one row."""
        event = entry.event
        kind = event.TOPIC.split(".")[-2]
        key_id, call_id, provider, model = key_id_of(event.actor), None, UNKNOWN, UNKNOWN
        tokens: tuple[int | None, int | None] = (None, None)
        times: tuple[int | None, int | None] = (None, None)
        amount, completion_id = 0, None
        own: tuple[str | None, int | None] = (None, None)
        match event:
            case HoldResolved():
                facts = changes.worked.once(facts_of, entry.position, event)
                call_id, provider, model = str(event.originator_id), facts.provider, facts.model
                tokens = (facts.input_tokens, facts.output_tokens)
                times = (facts.duration_ms, facts.first_output_ms)
                own = (facts.own_key, facts.own_key_cost)
                amount = -event.settled_nano_usd - event.breakage_nano_usd
                if isinstance(event, HoldSettled):
                    completion_id = _completion_id(event.provider_request_id)
            case HoldRefused():
                call_id, own = str(event.originator_id), (UNKNOWN, 0)
                provider, model = event.provider or UNKNOWN, event.model or UNKNOWN
            case CreditsGranted():
                amount = event.amount_nano_usd
            case LotExpired():
                amount = -event.breakage_nano_usd
            case _ if isinstance(event, KEY_EVENTS):
                kind, key_id = f"api_key_{kind}", str(event.originator_id)
            case UserRegistered():
                kind = "user_registered"
            case _:
                return
        account = getattr(event, "account_id", None)
        row = (entry.position, account, kind, key_id, call_id, provider, model, *tokens, amount)
        changes.append(ACTIVITY, (*row, *times, entry.booked_at, completion_id, *own))


def _completion_id(told: str | None) -> str | None:
    """What a provider called its reply, where it can be looked for."""
    fits = told and len(told) <= COMPLETION_ID_CHARACTERS_MAX and "\0" not in told
    return told if fits else None


def read_call_of_completion(select: Select, account: UUID, completion_id: str) -> UUID | None:
    """The account's newest call whose reply had this `id`; providers may give one twice."""
    found = select(
        f"SELECT call_id FROM {ACTIVITY.view} WHERE account_id = %s AND completion_id = %s "
        "ORDER BY position DESC LIMIT 1",
        [account, completion_id],
    )
    return next((call_id for (call_id,) in found), None)


class Happened(NamedTuple):
    """A row of the log; money in nano-USD, times in milliseconds."""

    position: int
    account_id: UUID | None
    activity: str
    key_id: str | None
    call_id: UUID | None
    provider: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    amount_nano_usd: int
    duration_ms: int | None
    booked_at: datetime
    own_key: str | None
    own_key_cost_nano_usd: int | None


def read_recent(
    select: Select,
    account: UUID | None,
    *,
    limit: int,
    calls: bool = False,
    own_key: bool | None = None,
    before: int | None = None,
) -> list[Happened]:
    """The newest rows of an account, or of all (None); `calls`: of calls alone.

    `own_key`: only calls that went with a customer's own provider key, or only those that did not.
    `before` is a position of the log: rows at it and behind it are left out.
    """
    where = "true" if account is None else "account_id = %s"
    where += " AND call_id IS NOT NULL" if calls else ""
    if own_key is not None:
        where += " AND own_key <> ''" if own_key else " AND own_key = ''"
    where += "" if before is None else " AND position < %s"
    rows = select(
        f"SELECT {', '.join(Happened._fields)} FROM {ACTIVITY.view} WHERE {where} "
        "ORDER BY position DESC LIMIT %s",
        [*(each for each in (account, before) if each is not None), limit],
    )
    return [Happened(*row) for row in rows]
