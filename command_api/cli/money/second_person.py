"""What a verb asks for that needs a second admin: who runs it may not approve it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from command_api.cli.base import opened, settings_with, show
from command_api.money.approvals import Actor, Rule, carry_out, order_of, request
from command_api.money.grants import running_committer
from domain.approvals.requests import Status
from domain.events.base import By
from domain.pricing.money import format_usd
from event_store.ids import now_iso

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.identity.users import Users
    from command_api.money.debits import Debit
    from command_api.money.grants import Grant
    from domain.approvals.requests import Approval
    from event_store.postgres.database import Database

OPERATOR = "operator:cli"
"""Whoever is at a shell: one person to the rule, whose requests an admin decides over HTTP."""


def rule_of(home: Path | None) -> Rule:
    """The rule of the settings."""
    found = settings_with(home).credits
    return Rule(found.approval_above, found.approval_hours)


def asked_second(home: Path | None, known: Users, what: Grant | Debit, *, as_json: bool) -> bool:
    """Whether it needs a second admin: it is asked for then, and shown as it stands."""
    rule = rule_of(home)
    if not rule.wants(what.amount):
        return False
    actor = Actor(OPERATOR, By(None, "", what.reason))
    found = request(known.aggregates, rule, order_of(what), actor)
    moved = False
    if found.status(now_iso()) is Status.APPROVED:
        with opened(home, create=False, prepare=False) as (_, database):
            moved = carried_out(database, found)
    show({**told(found), "carried_out_now": moved}, as_json=as_json)
    return True


def carried_out(database: Database, approval: Approval) -> bool:
    """Give or take what was approved; whether that was done now."""

    async def run() -> bool:
        async with running_committer(database) as committer:
            return await carry_out(committer, approval, actor=OPERATOR)

    return asyncio.run(run())


def told(found: Approval) -> dict[str, Any]:
    """A request as verbs print it."""
    asked = found.requested
    return {
        "approval_id": str(asked.originator_id),
        "status": str(found.status(now_iso())),
        "act": asked.act,
        "account_id": asked.account_id,
        "amount_nano_usd": asked.amount_nano_usd,
        "amount_usd": format_usd(asked.amount_nano_usd),
        "decide_by": asked.decide_by,
    }
