"""`ledger verify`: replays the log and compares everything that was derived from it.

One repeatable-read snapshot sees the events, the inline state and the read models at one
position, so it works under live traffic. A read model is compared at its own position, which
may trail the log's head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from eventsourcing.persistence import MapperDeserialisationError

from domain.availability.all import AllMaintenance
from domain.batches.all import AllBatches
from domain.coupons.all import AllCoupons
from domain.errors import DomainError
from domain.identity.key_writings import KeyWritings
from domain.identity.roles import UserRoles
from domain.ledger.state import LedgerState
from domain.organisations.memberships import Memberships
from domain.payments.book import PaymentBook
from domain.plans.all import AllPlans
from domain.provider_keys.all import AllProviderKeys
from domain.referrals.all import AllReferrals
from domain.subscriptions.all import AllSubscriptions
from domain.topups.all import AllTopUps
from event_store.log.codec import UnreadableEvent
from event_store.log.integrity import log_faults
from event_store.log.reading import head_position, read_all_rows
from event_store.log.shapes import decode_or_mark_checked
from projections.all import PROJECTIONS
from projections.engine.comparison import begin_snapshot, open_checks
from projections.hosting.calls_audit import CallsAudit
from projections.hosting.coupons import coupon_differences
from projections.hosting.inline_state import inline_differences
from projections.hosting.key_writings import key_differences
from projections.hosting.memberships import membership_differences
from projections.hosting.offers.referrals import referral_differences
from projections.hosting.payments import (
    payment_differences,
    subscription_differences,
    top_up_differences,
)
from projections.hosting.plans import plan_differences
from projections.hosting.upkeep.batches import batch_differences
from projections.hosting.upkeep.maintenance import maintenance_differences
from projections.hosting.upkeep.provider_keys import provider_key_differences
from projections.hosting.user_roles import role_differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from event_store.postgres.database import Database
    from projections.engine.comparison import Checks
    from projections.engine.sinks.port import Sink

FORGET_EVENTS = 1_000
"""After so many events the replay lets go of the calls that ended, and of their keys."""
DIFFERENCES_MAX = 1_000
"""Differences that are named; more are counted."""

NOT_SHOWN = (
    "whole calls or grants that the database's owner took away or wrote anew, with everything "
    "derived from them; members that nothing else refers to: reasons; effective_at; who acted, "
    "where actor and key_id were changed together or it is no call's; a hold's user_id; "
    "usage.source; a failed attempt's cost; the amounts of a refusal; payment_id; correlation_id "
    "of a grant and of a house loss; a provider's own request id. Only signed checkpoints of the "
    "log, kept elsewhere, can show that, and there are none yet"
)
"""What no replay can tell, as the command says it."""


@dataclass(slots=True)
class Report:
    """What verification saw; `differences` is empty when all is well."""

    position: int = 0
    events: int = 0
    positions_unused: int = 0
    """Numbers up to the head without an event: appends that were rolled back leave them."""
    charges: int = 0
    """Settlements whose cost was worked out anew from their hold's price and their usage."""
    accounts: int = 0
    open_holds: int = 0
    granted_nano_usd: int = 0
    settled_nano_usd: int = 0
    held_nano_usd: int = 0
    available_nano_usd: int = 0
    breakage_nano_usd: int = 0
    house_loss_nano_usd: int = 0
    read_models: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    unnamed_differences: int = 0

    def differ(self, *found: str) -> None:
        """Take what differs, or count it when too much is named already."""
        room = DIFFERENCES_MAX - len(self.differences)
        self.differences += found[:room]
        self.unnamed_differences += len(found[room:])


class Beside(NamedTuple):
    """Who may call, by which plan, who paid, and what codes gave away, folded from the log."""

    keys: KeyWritings
    roles: UserRoles
    members: Memberships
    coupons: AllCoupons
    plans: AllPlans
    payments: PaymentBook
    referrals: AllReferrals
    subscriptions: AllSubscriptions
    top_ups: AllTopUps
    maintenance: AllMaintenance
    batches: AllBatches
    provider_keys: AllProviderKeys


def verify(database: Database, sinks: Mapping[str, Sink] | None = None) -> Report:
    """Replay and compare; every difference is named in the report."""
    report = Report()
    with database.connect() as connection:
        known = begin_snapshot(connection, PROJECTIONS, sinks)
        with connection.transaction():
            report.position = head_position(connection)
            report.differ(*log_faults(connection))
            checks = open_checks(connection, PROJECTIONS, known)
            beside = Beside(
                *(KeyWritings(), UserRoles(), Memberships()),
                *(AllCoupons(), AllPlans(), PaymentBook()),
                *(AllReferrals(), AllSubscriptions(), AllTopUps()),
                AllMaintenance(),
                AllBatches(),
                AllProviderKeys(),
            )
            state = _replay(connection, report, checks, beside)
            report.differ(*inline_differences(connection, state))
            report.differ(*key_differences(connection, beside.keys))
            report.differ(*role_differences(connection, beside.roles))
            report.differ(*membership_differences(connection, beside.members))
            report.differ(*coupon_differences(connection, beside.coupons))
            report.differ(*plan_differences(connection, beside.plans))
            report.differ(*payment_differences(connection, beside.payments))
            report.differ(*referral_differences(connection, beside.referrals))
            report.differ(*subscription_differences(connection, beside.subscriptions))
            report.differ(*top_up_differences(connection, beside.top_ups))
            report.differ(*maintenance_differences(connection, beside.maintenance))
            report.differ(*batch_differences(connection, beside.batches))
            report.differ(*provider_key_differences(connection, beside.provider_keys))
            for result in checks.finish():
                report.read_models[result.name] = result.position
                report.differ(*result.differences)
    _sum_up(report, state)
    return report


def _replay(
    connection: psycopg.Connection[Any],
    report: Report,
    checks: Checks,
    beside: Beside,
) -> LedgerState:
    audit = CallsAudit(connection)
    state = LedgerState(recall=audit.recall)
    last, last_booked = 0, None
    for row in read_all_rows(connection):
        entry = checks.add(row, decode_or_mark_checked)
        report.events += 1
        if entry.position <= last:
            report.differ(f"position {entry.position} follows {last}")
        if last_booked is not None and entry.booked_at < last_booked:
            report.differ(f"position {entry.position} was booked before {last}")
        last, last_booked = entry.position, entry.booked_at
        if isinstance(entry.event, UnreadableEvent):
            report.differ(f"position {entry.position}: {entry.event.error}")
        try:
            for fault in audit.faults(entry):
                report.differ(f"position {entry.position} {fault}")
            state.apply(entry.event, entry.position)
            beside.keys.apply(entry.event, entry.position)
            beside.roles.apply(entry.event, entry.position)
            beside.members.apply(entry.event)
            beside.coupons.apply(entry.event)
            beside.plans.apply(entry.event)
            beside.payments.apply(entry.event)
            beside.referrals.apply(entry.event)
            beside.subscriptions.apply(entry.event)
            beside.top_ups.apply(entry.event)
            beside.maintenance.apply(entry.event)
            beside.batches.apply(entry.event)
            beside.provider_keys.apply(entry.event)
        except (DomainError, KeyError, MapperDeserialisationError) as error:
            report.differ(f"position {entry.position} breaks the rules: {error}")
        if report.events % FORGET_EVENTS == 0:
            state.closed.clear()
            state.idempotency.clear()
    report.charges = audit.charges
    report.positions_unused = report.position - report.events
    if state.trial_balance_sum() != 0:
        report.differ(f"the trial balance is {state.trial_balance_sum()}, not 0")
    return state


def _sum_up(report: Report, state: LedgerState) -> None:
    accounts = state.accounts.values()
    report.accounts = len(accounts)
    report.open_holds = len(state.open_holds)
    report.granted_nano_usd = sum(each.granted for each in accounts)
    report.settled_nano_usd = sum(each.settled for each in accounts)
    report.held_nano_usd = sum(each.held for each in accounts)
    report.available_nano_usd = sum(each.available for each in accounts)
    report.breakage_nano_usd = sum(each.breakage for each in accounts)
    report.house_loss_nano_usd = sum(each.house_loss for each in accounts)
    # What is owed was charged beyond what was granted, by a correction or a debit.
    owed = sum(each.owed for each in accounts)
    spent = report.settled_nano_usd + report.held_nano_usd
    if spent > report.granted_nano_usd + owed:
        report.differ("more was settled and held than granted")
