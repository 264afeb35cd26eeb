"""The verbs about what waits for a second admin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from command_api.cli.base import (
    Home,
    Json,
    Shown,
    check_reason,
    opened,
    opened_to_read,
    show,
    shown_of,
)
from command_api.cli.money.second_person import OPERATOR, carried_out, told
from command_api.credits.approvals import shown
from command_api.money.approvals import Actor, decide
from domain.events.base import By
from event_store.log.aggregates import Aggregates
from projections.engine.projection import select_on
from projections.money.approvals import read_approvals

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(no_args_is_help=True, help="What waits for a second admin.")

Id = Annotated[UUID, typer.Argument(help="Id of the request.")]


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Shown = 1_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the requests that can be decided or carried out now, the newest first."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = read_approvals(select_on(connection), open_only=not every, limit=limit + 1)
    for each in shown_of(found, limit):
        line = shown(each)
        if as_json:
            show(line, as_json=True)
        else:
            undone = line["status"] == "approved" and not line["carried_out"]
            waits = ", not carried out" if undone else ""
            sys.stdout.write(
                f"{line['approval_id']}  {line['status']}{waits}  {line['act']} "
                f"{line['amount_usd']} USD  account {line['account_id']}  "
                f"by {line['requested_by']}  until "
                f"{line['decide_by']}  {line['reason']}\n"
            )


@app.command()
def approve(
    approval: Id,
    reason: Annotated[str, typer.Option(help="Stands in the audit.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Approve what an admin asked for over HTTP, and carry it out; again it completes it."""
    _decide(approval, reason, home, approving=True, as_json=as_json)


@app.command()
def decline(
    approval: Id,
    reason: Annotated[str, typer.Option(help="Why; stands in the audit.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Decline what an admin asked for over HTTP."""
    check_reason(reason)
    _decide(approval, reason, home, approving=False, as_json=as_json)


def _decide(
    approval: UUID, reason: str, home: Path | None, *, approving: bool, as_json: bool
) -> None:
    with opened(home, create=False, prepare=False) as (_, database):
        aggregates = Aggregates(database)
        try:
            actor = Actor(OPERATOR, By(None, "", reason.strip()))
            found = decide(aggregates, approval, actor, approve=approving)
        finally:
            aggregates.close()
        moved = approving and carried_out(database, found)
        show({**told(found), "carried_out_now": moved}, as_json=as_json)
