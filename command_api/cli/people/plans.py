"""The verbs about plans."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from command_api.cli.base import Home, Json, check_reason, opened_to_read, show
from command_api.cli.people.opening import opened_people, people_of
from command_api.cli.users import ACTOR
from command_api.plans.commands import Plans
from domain.events.base import By
from domain.plans.assignment import MONTHS_MAX
from domain.plans.catalog import PLANS
from domain.plans.limits import allowed
from domain.pricing.money import format_usd
from event_store.beside.plans import read_plan
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from command_api.identity.people import People

app = typer.Typer(no_args_is_help=True, help="Plans: what a user may use by day and month.")

User = Annotated[str, typer.Argument(help="Id or address of the user.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the audit for ever.")]


@contextmanager
def _commands(home: Path | None) -> Iterator[tuple[People, Plans]]:
    with people_of(home) as (settings, people):
        yield people, Plans(people, planless=settings.plans.planless_limits)


def _by(reason: str) -> By:
    check_reason(reason)
    return By(reason=reason)


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """Print the plans there are, and what they allow keys that are live."""
    with opened_to_read(home):
        pass
    for plan in PLANS.values():
        price = plan.price_per_month
        told = {
            "plan": plan.name,
            "price_per_month": None if price is None else format_usd(price),
            **allowed(plan, live=True)._asdict(),
        }
        if as_json:
            show(told, as_json=True)
        else:
            sys.stdout.write("  ".join(f"{each} {told[each]}" for each in told) + "\n")


@app.command("show")
def show_(user: User, home: Home = None, as_json: Json = False) -> None:
    """Print the plan of a user."""
    with (
        opened_to_read(home) as (settings, database),
        opened_people(settings, database) as people,
    ):
        user_id, _ = people.users.find_user(user)
        with people.connect() as connection:
            found = read_plan(connection, user_id)
    told = _told(user_id, None if found is None or found.over else found.plan)
    ends = found and found.expires_at and to_iso(found.expires_at)
    show({**told, "expires_at": ends}, as_json=as_json)


@app.command("assign")
def assign(
    user: User,
    plan: Annotated[str, typer.Argument(help=f"One of {', '.join(PLANS)}.")],
    reason: Reason,
    months: Annotated[
        int, typer.Option(min=0, max=MONTHS_MAX, help="For how long; 0 is without an end.")
    ] = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a user on a plan, from now on; running gateways go by it within a second."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        found = commands.assign(user_id, plan, months or None, by, ACTOR)
        told = _told(user_id, found.plan)
        show({**told, "expires_at": found.expires_at}, as_json=as_json)


@app.command("end")
def end(user: User, reason: Reason, home: Home = None, as_json: Json = False) -> None:
    """Take a user's plan away."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        commands.end(user_id, by, ACTOR)
        show(_told(user_id, None), as_json=as_json)


def _told(user_id: UUID, plan: str | None) -> dict[str, object]:
    return {"user_id": str(user_id), "plan": plan}
