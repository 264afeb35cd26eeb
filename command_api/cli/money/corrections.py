"""The verbs that correct what calls were charged: by another price, or as a provider says."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from command_api.cli.base import (
    Home,
    Json,
    Shown,
    check_reason,
    fail,
    instant,
    opened,
    progress_bar,
    show,
    shown_of,
    telling,
)
from command_api.cli.users import ACTOR
from command_api.money.corrections import Correction, append_correction
from command_api.money.grants import running_committer
from command_api.money.rerating import Rerating, Wanted
from domain.events.ledger import HoldSettled
from domain.ledger.rerating import STATED
from domain.pricing.money import format_usd, parse_usd
from event_store.log.reading import read_of_streams

if TYPE_CHECKING:
    from command_api.money.rerating import Plan, Sums
    from event_store.postgres.database import Database

calls = typer.Typer(no_args_is_help=True, help="Calls.")
KEY_CHARACTERS_MAX = 100

Reason = Annotated[str, typer.Option(help="Why; it stands in the log and in the audit.")]


@calls.callback()
def _only() -> None:
    """Keep `correct` a verb of its own."""


def rerate(  # noqa: PLR0913, PLR0917 - the options are the verb's contract.
    model: Annotated[str, typer.Option(help="The model: its canonical id, or provider/model.")],
    since: Annotated[str, typer.Option("--from", help="Settled from this day (UTC) or instant.")],
    price_version: Annotated[str, typer.Option(help="The price: provider/model@digest.")],
    until: Annotated[
        str | None, typer.Option("--to", help="Before this day or instant; else before now.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Correct, without asking.")] = False,
    reason: Reason = "",
    limit: Shown = 1_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what calls cost by another version of their price; when confirmed, correct them.

    Each call is corrected once by a price version: what was done already changes nothing.
    """
    if yes:
        check_reason(reason)
    with telling():
        begins, ends = instant(since), instant(until) if until else datetime.now(UTC)
    if begins >= ends:
        fail("--from must lie before --to")
    with opened(home, create=False, prepare=False) as (_, database):
        rerating = Rerating(database, Wanted(model, begins, ends, price_version))
        with progress_bar("rating", quiet=as_json) as report:
            plan = rerating.plan(report)
        if not (yes and as_json):
            _print(plan, price_version, limit, as_json=as_json)
        if not plan.whole.calls:
            if yes and as_json:
                _print(plan, price_version, limit, as_json=True)
            return
        if not yes:
            if as_json or not _somebody_there():
                sys.stderr.write("gatewayz: nothing was corrected: give --yes and --reason\n")
                return
            typer.confirm(f"Correct {plan.whole.calls} calls?", abort=True, err=True)
            reason = reason or typer.prompt("Why", err=True)
            check_reason(reason)
        with progress_bar("correcting", quiet=as_json) as report:
            done = rerating.post(reason=reason.strip(), actor=ACTOR, report=report)
    _print(done, price_version, limit, as_json=as_json)


@calls.command("correct")
def correct(
    call: Annotated[UUID, typer.Argument(help="Id of the call.")],
    amount: Annotated[str, typer.Option(help="USD that the call costs, a decimal string.")],
    reason: Reason,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again changes nothing.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Charge a settled call what its provider says that it costs, in place of its price."""
    check_reason(reason)
    key = idempotency_key or str(uuid4())
    if len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
        fail(f"--idempotency-key has at most {KEY_CHARACTERS_MAX} printable characters")
    with opened(home, create=False, prepare=False) as (_, database):
        cost = parse_usd(amount)
        settled = _settled(database, call)
        correction = Correction(
            call_id=call,
            account_id=UUID(settled.account_id),
            cost=cost,
            price_version=STATED + key,
            reason=reason.strip(),
            provider=settled.provider,
            model=settled.model,
        )
        difference, first = asyncio.run(_correct(database, correction))
    show(
        {
            "call_id": str(call),
            "account_id": settled.account_id,
            "cost_nano_usd": cost,
            "cost_usd": format_usd(cost),
            "charged_nano_usd": difference,
            "charged_usd": format_usd(difference),
            "repeated": not first,
        },
        as_json=as_json,
    )


def _somebody_there() -> bool:
    return sys.stdin.isatty()


async def _correct(database: Database, correction: Correction) -> tuple[int, bool]:
    async with running_committer(database) as committer:
        return await append_correction(committer, correction, actor=ACTOR)


def _settled(database: Database, call: UUID) -> HoldSettled:
    with database.connect() as connection:
        found = read_of_streams(connection, [call], HoldSettled.TOPIC)
    if not found:
        fail(f"call {call} was not settled: only what was charged can be corrected")
    event = found[-1].event
    assert isinstance(event, HoldSettled)
    return event


def _print(plan: Plan, version: str, limit: int, *, as_json: bool) -> None:
    accounts = [
        {"account_id": account, **_figures(plan.accounts[account])}
        for account in sorted(plan.accounts)
    ]
    values: dict[str, Any] = {
        "provider": plan.offer[0],
        "model": plan.offer[1],
        "price_version": version,
        "after_position": plan.after,
        "to_position": plan.to,
        "calls": plan.calls,
        "unchanged": plan.unchanged,
        "corrected_before": plan.corrected_before,
        "to_correct": _figures(plan.whole),
        "corrected": plan.posted,
        "accounts": len(accounts),
        "not_rated": {str(why): plan.not_rated[why] for why in sorted(plan.not_rated)},
    }
    lines = shown_of(accounts, limit)
    if as_json:
        named = [
            {
                "call_id": str(each.call_id),
                "account_id": each.account_id,
                "why": str(each.why),
                "said": each.said,
            }
            for each in plan.named
        ]
        show({**values, "by_account": lines, "not_rated_calls": named}, as_json=True)
        return
    for line in lines:
        sys.stdout.write(_line(line) + "\n")
    for call in shown_of(plan.named, limit):
        sys.stdout.write(f"NOT RATED  {call.call_id}  {call.why}: {call.said}\n")
    values["to_correct"] = _line(values["to_correct"])
    values["not_rated"] = _line(values["not_rated"]) or "none"
    show(values, as_json=False)


def _figures(sums: Sums) -> dict[str, Any]:
    difference = sums.new - sums.old
    return {
        "calls": sums.calls,
        "old_cost_nano_usd": sums.old,
        "old_cost_usd": format_usd(sums.old),
        "old_cost_exact_nano_usd": format(sums.old_exact, "f"),
        "new_cost_nano_usd": sums.new,
        "new_cost_usd": format_usd(sums.new),
        "new_cost_exact_nano_usd": format(sums.new_exact, "f"),
        "difference_nano_usd": difference,
        "difference_usd": format_usd(difference),
        "charged_nano_usd": sums.charged,
        "charged_usd": format_usd(sums.charged),
    }


def _line(values: dict[str, Any]) -> str:
    kept = {k: v for k, v in values.items() if not k.endswith("_nano_usd") or "_exact_" in k}
    return "  ".join(f"{name}={value}" for name, value in kept.items())
