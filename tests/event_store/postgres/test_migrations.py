"""Each migration finds what it needs and leaves what it promises, with data in the tables.

They are applied one at a time, through the real `migrate`, on a database that fills as its tables
come to be.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from yoyo.backends.base import DatabaseBackend

from domain.quotas.terms import lot_quota_id, quota_id
from event_store.append.committer import Committer
from event_store.append.entries import TOPICS, AppendCode, Entry
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from event_store.postgres import migrate as module
from event_store.postgres.database import APPLICATION_ROLE, READER_ROLE
from projections.hosting.install import migrate_all
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append as append_now
from tests.support import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

FILES = sorted(module.MIGRATIONS.glob("*.sql"))
NAMES = [path.stem for path in FILES]
ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
HEARD_ALL = (
    "(SELECT position = (SELECT max(notification_id) FROM events) FROM process_manager "
    "WHERE name = 'top_ups')"
)
LOOKED_AT = "(SELECT count(*) = {} FROM manager_wish WHERE manager = 'top_ups')"
_numbers = itertools.count(1)


def table(name: str, *, may: str = "SELECT, INSERT, UPDATE", never: str = "TRUNCATE") -> str:
    """The table is there, and the application may do to it what it must, and nothing else."""
    granted = [
        f"has_table_privilege('{APPLICATION_ROLE}', to_regclass('{name}'), '{right}')"
        for right in may.split(", ")
    ]
    refused = f"NOT has_table_privilege('{APPLICATION_ROLE}', to_regclass('{name}'), '{never}')"
    return " AND ".join([f"to_regclass('{name}') IS NOT NULL", *granted, refused])


def reads(name: str) -> str:
    """The role of those who only ask may read the table, and do nothing else to it."""
    rights = [
        f"has_table_privilege('{READER_ROLE}', to_regclass('{name}'), '{right}')"
        for right in ("SELECT", "INSERT, UPDATE, DELETE, TRUNCATE")
    ]
    return f"({rights[0]} AND NOT {rights[1]})"


def filled(name: str) -> str:
    """A table has rows, or had some; false where there is no table yet."""
    return f"coalesce(pg_relation_size(to_regclass('{name}')), 0) > 0"


def no_table(name: str) -> str:
    """The table is not there."""
    return f"to_regclass('{name}') IS NULL"


def function(name: str, *said: str) -> str:
    """The function is there, and its text says this."""
    says = [f"position('{part}' IN pg_get_functiondef(to_regproc('{name}'))) > 0" for part in said]
    return " AND ".join([f"to_regproc('{name}') IS NOT NULL", *says])


def no_function(name: str) -> str:
    """The function is not there."""
    return f"to_regproc('{name}') IS NULL"


def trigger(name: str) -> str:
    """The log has this trigger, switched on."""
    return (
        "EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('events') "
        f"AND tgname = '{name}' AND tgenabled = 'O')"
    )


def column(of: str, name: str, default: str = "") -> str:
    """The table has this column, whose default begins so."""
    return (
        "EXISTS (SELECT FROM information_schema.columns WHERE table_schema = 'public' AND "
        f"table_name = '{of}' AND column_name = '{name}' "
        f"AND coalesce(column_default, '') LIKE '{default}%')"
    )


def no(condition: str) -> str:
    """The contrary."""
    return f"({condition}) IS NOT TRUE"


class Check(NamedTuple):
    """What holds just before a migration and just after it; each is a condition in SQL.

    All rows stay but those of `drops`. What `after` says is new, unless the check is `quiet`.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    drops: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    """Tables to which it adds rows."""
    quiet: bool = False


EVERY_RIGHT = "SELECT, INSERT, UPDATE, DELETE"
ROLE = f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{APPLICATION_ROLE}' AND NOT rolsuper)"
OLD_READ_MODELS = (
    "read_account_balance_v1",
    "read_credit_lot_v1",
    "read_credit_statement_v1",
)
APPEND_NOW = function("ledger_append", "size > 2", "pg_try_advisory_xact_lock", "force_generic")

ALLOWS_PLANS = (
    "EXISTS (SELECT FROM pg_constraint WHERE conname = 'quota_scope_kind_check' "
    "AND pg_get_constraintdef(oid) LIKE '%''plan''%')"
)
NOBODY_READS = (
    f"NOT EXISTS (SELECT FROM information_schema.role_table_grants WHERE grantee = '{READER_ROLE}')"
)

CHECKS = {
    # The role is the server's, not the database's: it may stand there already.
    "0001_application_role": Check((no_table("events"),), (ROLE,), quiet=True),
    "0002_events": Check(
        (ROLE, no_table("events")),
        (
            table("events", may="SELECT, INSERT", never="UPDATE"),
            table("events", may="SELECT, INSERT", never="DELETE"),
            "to_regclass('events_notification_id_idx') IS NOT NULL",
            "to_regtype('stored_event_uuid') IS NOT NULL",
        ),
    ),
    "0003_booking_time": Check(
        (no(column("events", "booked_at", "booking_time")), no_function("booking_time")),
        (
            column("events", "booked_at", "booking_time"),
            function("booking_time", "booking_clock"),
            function("iso_instant"),
        ),
    ),
    "0004_append_lock": Check(
        (no(trigger("events_append_lock")),),
        (trigger("events_append_lock"), function("take_append_lock")),
    ),
    "0005_events_immutable": Check(
        (no(trigger("events_immutable")),),
        (trigger("events_immutable"), function("refuse_change_of_events")),
    ),
    "0006_process_lease": Check(
        (no_table("process_lease"),), (table("process_lease", may=EVERY_RIGHT),)
    ),
    "0007_credit_account": Check(
        (no_table("credit_account"),), (table("credit_account", never="DELETE"),)
    ),
    "0008_credit_lot": Check(
        (no_table("credit_lot"),),
        (
            table("credit_lot", may=EVERY_RIGHT),
            "to_regclass('credit_lot_burn_down_idx') IS NOT NULL",
        ),
    ),
    "0009_open_hold": Check((no_table("open_hold"),), (table("open_hold", may=EVERY_RIGHT),)),
    "0010_idempotency_key": Check(
        (no_table("idempotency_key"),), (table("idempotency_key", never="DELETE"),)
    ),
    "0011_idempotent_reply": Check(
        (no_table("idempotent_reply"),), (table("idempotent_reply", may=EVERY_RIGHT),)
    ),
    "0012_api_key": Check((no_table("api_key"),), (table("api_key", never="DELETE"),)),
    "0013_user_secret": Check((no_table("user_secret"),), (table("user_secret", never="DELETE"),)),
    "0014_ledger_helpers": Check(
        (no_function("ledger_reserve"), no_function("ledger_book_expiry")),
        (
            function("new_event_id"),
            function("lot_parts"),
            function("ledger_book_expiry"),
            function("ledger_reserve"),
        ),
    ),
    "0015_ledger_hold": Check(
        (no_function("ledger_hold"), function("ledger_reserve"), no_table("grant_key")),
        (
            function("ledger_hold", "ledger_reserve"),
            function("ledger_extend", "ledger_reserve"),
            function("ledger_grant"),
            table("grant_key", may="SELECT, INSERT", never="DELETE"),
        ),
    ),
    "0016_ledger_resolve": Check(
        (no_function("ledger_resolve"),),
        (function("ledger_resolve", "ledger_book_late"), function("ledger_book_late")),
    ),
    "0017_ledger_append": Check(
        (no_function("ledger_append"), function("ledger_hold"), function("ledger_resolve")),
        (
            function("ledger_append_in_order"),
            function("ledger_append_simple"),
            function("ledger_append", "size > 4", "NOTIFY events", "force_generic"),
        ),
    ),
    "0018_projection_progress": Check(
        (no_table("projection_progress"),), (table("projection_progress", never="DELETE"),)
    ),
    "0019_account_balances": Check(
        tuple(no_table(name) for name in OLD_READ_MODELS),
        tuple(table(name, may=EVERY_RIGHT) for name in OLD_READ_MODELS),
    ),
    "0020_projections": Check(
        (
            *(table(name) for name in OLD_READ_MODELS),
            no_table("projection"),
            no(column("projection_progress", "partition")),
        ),
        (
            *(no_table(name) for name in OLD_READ_MODELS),
            table("projection", may="SELECT", never="INSERT"),
            column("projection_progress", "partition"),
            table("projection_progress", may="SELECT, UPDATE", never="INSERT"),
        ),
        drops=(*OLD_READ_MODELS, "projection_progress"),
    ),
    "0021_relay_progress": Check(
        (no_table("relay_progress"),), (table("relay_progress", never="DELETE"),)
    ),
    "0022_notify_listeners": Check(
        (function("ledger_append", "size > 4"), no(APPEND_NOW)),
        (APPEND_NOW, no(function("ledger_append", "size > 4"))),
    ),
    # Writes down what already runs; a test of its own compares the function.
    "0023_ledger_append_whole": Check((APPEND_NOW,), (APPEND_NOW,), quiet=True),
    "0024_installation_secret": Check(
        (no_table("installation_secret"),), (table("installation_secret", never="DELETE"),)
    ),
    "0025_amount_maxima": Check(
        (APPEND_NOW, no(function("ledger_append", "estimated NOT BETWEEN"))),
        (
            function("ledger_append", "estimated NOT BETWEEN"),
            function("ledger_append_in_order", "there is no entry of kind"),
            function("ledger_grant", "code := 12"),
            function("ledger_extend", "code := 11"),
        ),
    ),
    "0026_entries_bound": Check(
        (APPEND_NOW, no(column("open_hold", "hold_id")), no_function("ledger_missing")),
        (
            column("open_hold", "hold_id"),
            function("ledger_missing"),
            function("ledger_append", "e.follows"),
            function("ledger_append_simple", "RETURN left_over"),
            function("ledger_book_late", "causation_id"),
        ),
    ),
    "0027_small_refusals": Check(
        (APPEND_NOW, no(function("ledger_hold", "fact"))),
        (
            function("ledger_hold", "fact"),
            function("ledger_missing", ".hold_refused."),
            function("ledger_grant", "THEN 2 ELSE 5"),
        ),
    ),
    "0028_own_holds": Check(
        (APPEND_NOW, no(function("ledger_resolve", "owner_id <> owner"))),
        (function("ledger_resolve", "owner_id <> owner"),),
    ),
    "0029_reply_with_settlement": Check(
        (APPEND_NOW, no(function("ledger_resolve", "idempotent_reply"))),
        (
            function("ledger_resolve", "idempotent_reply"),
            function("ledger_append", "LEFT JOIN idempotency_key"),
            function("ledger_append_simple", "INTO idempotency_key", "INTO idempotent_reply"),
        ),
    ),
    # The role is the server's, as the application's is, and outlives a database.
    "0030_reader_role": Check(
        (NOBODY_READS,),
        (
            f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER_ROLE}' AND NOT rolcanlogin)",
            f"pg_has_role('{APPLICATION_ROLE}', '{READER_ROLE}', 'MEMBER')",
            reads("events"),
            reads("credit_account"),
            no(reads("user_secret")),
            no(reads("api_key")),
            no(reads("idempotent_reply")),
        ),
        quiet=True,
    ),
    "0031_app_name": Check(
        (no_table("app_name"),), (table("app_name", may="SELECT, INSERT, DELETE", never="UPDATE"),)
    ),
    "0032_prune_keys": Check(
        (no_table("idempotency_pruned"),),
        (
            table("idempotency_pruned", may="SELECT, UPDATE", never="DELETE"),
            table("idempotency_key", may=EVERY_RIGHT),
        ),
    ),
    "0033_house_loss_of_day": Check(
        (no_table("house_loss_of_day"),), (table("house_loss_of_day", may=EVERY_RIGHT),)
    ),
    "0034_key_ends": Check(
        (no(column("api_key", "expires_at")), no(column("api_key", "replaced"))),
        (
            column("api_key", "expires_at"),
            column("api_key", "replaced", "false"),
            "to_regclass('api_key_current_idx') IS NOT NULL",
        ),
    ),
    "0035_losses_counted": Check(
        (no(function("ledger_resolve", "house_loss_of_day")),),
        (function("ledger_resolve", "house_loss_of_day"),),
    ),
    "0036_user_credentials": Check(
        (no(column("user_secret", "sealed_password")),),
        (
            column("user_secret", "username_hash"),
            column("user_secret", "sealed_password"),
            column("user_secret", "email_verified", "false"),
        ),
    ),
    "0037_session": Check((no_table("session"),), (table("session", may=EVERY_RIGHT),)),
    "0038_mail_token": Check(
        (no_table("mail_token"),),
        (table("mail_token", may="SELECT, INSERT, DELETE", never="UPDATE"),),
    ),
    "0039_attempt": Check(
        (no_table("attempt"), no_table("known_origin")),
        (table("attempt", may=EVERY_RIGHT), table("known_origin", may=EVERY_RIGHT)),
    ),
    "0040_user_profile": Check(
        (no(column("user_secret", "sealed_profile")),), (column("user_secret", "sealed_profile"),)
    ),
    "0041_key_limits": Check(
        (no(column("api_key", "limits")), no(column("api_key", "position"))),
        (
            *(column("api_key", each) for each in ("limits", "environment", "position")),
            column("api_key", "active", "true"),
            column("api_key", "deleted", "false"),
            "to_regclass('api_key_position_idx') IS NOT NULL",
            "to_regclass('api_key_user_idx') IS NOT NULL",
        ),
    ),
    "0042_sealed_api_key": Check(
        (no_table("sealed_api_key"),), (table("sealed_api_key", may=EVERY_RIGHT),)
    ),
    "0043_user_roles": Check(
        (no_table("user_role"), no_function("last_admin_stays")),
        (
            table("user_role", never="DELETE, TRUNCATE"),
            column("user_role", "position"),
            function("last_admin_stays", "the last admin"),
            f"NOT has_table_privilege('{READER_ROLE}', to_regclass('user_role'), 'SELECT')",
        ),
    ),
    "0044_rate_limit": Check(
        (no_table("rate_limit"),),
        (
            table("rate_limit", never="DELETE"),
            "to_regclass('rate_limit_change_idx') IS NOT NULL",
            (
                f"has_sequence_privilege('{APPLICATION_ROLE}', "
                "to_regclass('rate_limit_change'), 'USAGE')"
            ),
        ),
    ),
    "0045_quota": Check(
        (no_table("quota"), no(column("credit_account", "bound"))),
        (
            table("quota", never="DELETE"),
            table("quota_window", never="DELETE"),
            reads("quota"),
            reads("quota_window"),
            column("credit_account", "bound", "false"),
            column("credit_lot", "bound", "false"),
            column("open_hold", "quota_ids"),
            function("quota_begin", "epoch"),
        ),
    ),
    "0046_quota_append": Check(
        (no_function("ledger_quota_parts"),),
        (
            function("ledger_quota_parts"),
            function("ledger_barred_lots"),
            function("ledger_hold", "code := 13"),
            function("ledger_extend", "code := 13"),
            function("ledger_resolve", "ledger_quota_resolve"),
            function("ledger_grant", "ledger_lot_quotas"),
            function("ledger_append", "a.bound"),
        ),
    ),
    "0047_quota_set_based": Check(
        (no_function("ledger_append_bound"),),
        (
            function("ledger_quota_groups"),
            function("ledger_append_bound"),
            function("ledger_append", "ledger_append_bound"),
        ),
    ),
    "0048_organisation": Check(
        (no_table("organisation"), no(column("api_key", "project_id"))),
        (
            table("organisation", never="DELETE"),
            table("organisation_member", never="DELETE"),
            table("project", never="DELETE"),
            table("invitation", may="SELECT, INSERT, UPDATE, DELETE"),
            column("api_key", "project_id"),
            column("api_key", "organisation_id"),
            "to_regclass('project_name_idx') IS NOT NULL",
            "to_regclass('invitation_address_idx') IS NOT NULL",
        ),
    ),
    "0049_organisation_limits": Check(
        (),
        (
            (
                "(SELECT pg_get_constraintdef(oid) LIKE '%organisation%' FROM pg_constraint "
                "WHERE conname = 'rate_limit_scope_check')"
            ),
        ),
    ),
    "0050_mail_outbox": Check((no_table("mail_outbox"),), (table("mail_outbox", may=EVERY_RIGHT),)),
    "0051_once": Check((no_table("once"),), (table("once", may=EVERY_RIGHT),)),
    "0052_totp": Check(
        (no(column("user_secret", "totp_on")), no_table("recovery_code")),
        (
            column("user_secret", "sealed_totp"),
            column("user_secret", "totp_on", "false"),
            column("user_secret", "totp_step", "0"),
            table("recovery_code", may="SELECT, INSERT, DELETE", never="UPDATE"),
        ),
    ),
    "0053_passkey": Check((no_table("passkey"),), (table("passkey", may=EVERY_RIGHT),)),
    "0054_linked_identity": Check(
        (no_table("linked_identity"),), (table("linked_identity", may=EVERY_RIGHT),)
    ),
    "0055_prune_quota_windows": Check(
        (no_table("quota_pruned"),),
        (
            table("quota_pruned", may="SELECT, UPDATE", never="DELETE"),
            table("quota_window", may="SELECT, INSERT, UPDATE, DELETE"),
            "to_regclass('quota_window_begins_idx') IS NOT NULL",
        ),
    ),
    "0056_quota_room": Check(
        (no_function("require_quota_room"),),
        (function("require_quota_room", "quota_room"),),
    ),
    "0057_quota_cell": Check(
        (no_table("quota_cell"), no(column("credit_account", "home_id"))),
        (
            table("quota_cell", may=EVERY_RIGHT),
            table("quota_count", may="SELECT", never="INSERT"),
            reads("quota_cell"),
            reads("quota_cell_part"),
            reads("quota_count"),
            column("credit_account", "home_id"),
            column("credit_account", "limited", "false"),
            column("open_hold", "cell_id"),
            column("open_hold", "lot_until"),
            function("ledger_quota_close", "ledger_quota_flush"),
            (
                "EXISTS (SELECT FROM pg_constraint WHERE conname = 'quota_scope_kind_check' "
                "AND pg_get_constraintdef(oid) LIKE '%organisation%')"
            ),
        ),
    ),
    "0058_quota_cell_append": Check(
        (no_function("ledger_quota_count"), function("ledger_quota_groups")),
        (
            no_function("ledger_quota_groups"),
            function("ledger_hold", "ledger_quota_count"),
            function("ledger_extend", "ledger_quota_named"),
            function("ledger_resolve", "ledger_quota_named"),
            function("ledger_grant", "limited = true"),
            function("ledger_append_bound", "home"),
            function("ledger_append", "slots"),
        ),
    ),
    "0059_quota_room_of_cells": Check(
        (function("require_quota_room", "quota_window w"),),
        (function("require_quota_room", "quota_now"),),
    ),
    "0060_adjustments": Check(
        (no_table("debit_key"), no(column("credit_account", "owed"))),
        (
            table("debit_key", may="SELECT, INSERT", never="DELETE"),
            column("credit_account", "owed", "0"),
            column("credit_account", "debited", "0"),
            column("grant_key", "corrected_at"),
            function("ledger_append_in_order", "ledger_correct"),
            function("ledger_append_in_sets", "owed"),
            function("ledger_quota_accounts", "owed"),
            function("ledger_resolve", "ledger_pay_owed"),
            function("ledger_grant", "ledger_pay_owed"),
            function("ledger_hold", "owed"),
            (
                "EXISTS (SELECT FROM pg_constraint WHERE conname = 'credit_account_sums' "
                "AND convalidated)"
            ),
        ),
    ),
    "0070_payment": Check(
        (no_table("payment"),),
        (
            table("payment", never="DELETE"),
            "to_regclass('payment_account_id_idx') IS NOT NULL",
            "to_regclass('payment_intent_id_idx') IS NOT NULL",
        ),
    ),
    "0071_stripe_inbox": Check(
        (no_table("stripe_inbox"),),
        (
            table("stripe_inbox", may=EVERY_RIGHT),
            "to_regclass('stripe_inbox_due_idx') IS NOT NULL",
        ),
    ),
    "0072_stripe_poll": Check((no_table("stripe_poll"),), (table("stripe_poll", never="DELETE"),)),
    "0075_coupon": Check(
        (no_table("coupon"), no_table("coupon_use")),
        (
            table("coupon", may="SELECT, INSERT, UPDATE", never="DELETE"),
            table("coupon_use", may="SELECT, INSERT, UPDATE", never="DELETE"),
            "to_regclass('coupon_code_idx') IS NOT NULL",
        ),
    ),
    "0076_plan": Check(
        (no_table("user_plan"), no(ALLOWS_PLANS)),
        (table("user_plan", may="SELECT, INSERT, UPDATE", never="DELETE"), ALLOWS_PLANS),
    ),
    "0077_trial_person": Check(
        (no_table("trial_person"),),
        (table("trial_person", may="SELECT, INSERT, UPDATE", never="DELETE"),),
    ),
    "0080_issued_statement": Check(
        (no_table("statement_issuer"), no_table("issued_statement")),
        (
            table("statement_issuer", never="DELETE"),
            table("issued_statement", may="SELECT, INSERT", never="UPDATE"),
        ),
    ),
    "0081_payment_return": Check(
        tuple(no_table(name) for name in ("payment_return", "payment_cost", "payout")),
        tuple(
            table(name, may="SELECT, INSERT, UPDATE", never="DELETE")
            for name in ("payment_return", "payment_cost", "payout")
        ),
    ),
    "0084_process_manager": Check(
        (no_table("process_manager"), no_table("manager_wish")),
        (
            table("process_manager", may="SELECT, INSERT, UPDATE", never="DELETE"),
            table("manager_wish", may=EVERY_RIGHT),
            "to_regclass('manager_wish_due_idx') IS NOT NULL",
        ),
    ),
    "0085_referral": Check(
        (no_table("referral_code"), no_table("referral")),
        (
            table("referral_code", may="SELECT, INSERT, UPDATE", never="DELETE"),
            table("referral", may="SELECT, INSERT, UPDATE", never="DELETE"),
            "to_regclass('referral_referrer_idx') IS NOT NULL",
        ),
    ),
    "0086_payment_fingerprint": Check(
        (no_table("payment_fingerprint"),),
        (table("payment_fingerprint", may="SELECT, INSERT", never="UPDATE"),),
    ),
    "0087_subscription": Check(
        (no_table("payment_customer"), no_table("subscription")),
        (
            table("payment_customer", never="DELETE"),
            table("subscription", never="DELETE"),
            "to_regclass('subscription_account_id_idx') IS NOT NULL",
        ),
    ),
    "0088_auto_top_up": Check((no_table("auto_top_up"),), (table("auto_top_up", never="DELETE"),)),
    "0090_disputed_lots_stay": Check(
        (no(function("ledger_take_back", "dispute")),),
        (function("ledger_take_back", "dispute"),),
    ),
    "0095_kept_response": Check(
        (no_table("kept_response"),), (table("kept_response", may=EVERY_RIGHT),)
    ),
    "0096_subscription_invoice": Check(
        tuple(no_table(f"subscription_{name}") for name in ("invoice", "return", "cost")),
        (
            *(
                table(f"subscription_{name}", may="SELECT, INSERT, UPDATE", never="DELETE")
                for name in ("invoice", "return", "cost")
            ),
            filled("subscription_invoice"),
            filled("subscription_return"),
        ),
    ),
    "0097_close_lot": Check(
        (no(function("ledger_append_in_order", "ledger_close_lot")),),
        (
            function("ledger_append_in_order", "ledger_close_lot"),
            function("ledger_lot_again", "lot_expired"),
            function("ledger_close_lot", "lot_until"),
        ),
    ),
    "0098_top_ups_are_woken": Check(
        (no(column("auto_top_up", "asleep_until")), LOOKED_AT.format(0)),
        (
            column("auto_top_up", "asleep_until"),
            LOOKED_AT.format("(SELECT count(*) FROM auto_top_up WHERE enabled)"),
            HEARD_ALL,
        ),
        adds=("manager_wish", "process_manager"),
    ),
    "0099_inbox_by_object": Check(
        (no(column("stripe_inbox", "about")),),
        (column("stripe_inbox", "about"), "to_regclass('stripe_inbox_about_idx') IS NOT NULL"),
    ),
    "0100_background_response": Check(
        ("to_regclass('kept_response_runner_id_idx') IS NULL",),
        (
            "to_regclass('kept_response_runner_id_idx') IS NOT NULL",
            "to_regclass('kept_response_running_idx') IS NOT NULL",
        ),
    ),
    "0103_maintenance": Check(
        (no_table("maintenance_window"),),
        (
            table("maintenance_window", may="SELECT, INSERT, UPDATE", never="DELETE"),
            "to_regclass('maintenance_window_until_idx') IS NOT NULL",
        ),
    ),
    "0104_health_monitor": Check(
        (no_table("health_monitor"), no_table("provider_check")),
        (
            table("health_monitor", may="SELECT, UPDATE", never="INSERT"),
            table("provider_check", may="SELECT, INSERT, UPDATE", never="DELETE"),
        ),
    ),
    "0110_stored_file": Check(
        (no_table("stored_file"), no_table("stored_file_chunk")),
        (
            table("stored_file", may=EVERY_RIGHT),
            table("stored_file_chunk", may=EVERY_RIGHT),
            "to_regclass('stored_file_account_id_idx') IS NOT NULL",
            "to_regclass('stored_file_expires_at_idx') IS NOT NULL",
        ),
    ),
    "0111_batch": Check(
        (no_table("batch"),),
        (
            table("batch", may="SELECT, INSERT, UPDATE", never="DELETE"),
            "to_regclass('batch_account_id_idx') IS NOT NULL",
            "to_regclass('batch_open_idx') IS NOT NULL",
            "to_regclass('batch_input_file_id_idx') IS NOT NULL",
        ),
    ),
    "0112_batch_result": Check(
        (no_table("batch_result"),), (table("batch_result", may=EVERY_RIGHT),)
    ),
    "0113_provider_key": Check(
        (no_table("provider_key"), no_table("provider_key_secret")),
        (
            table("provider_key", may="SELECT, INSERT, UPDATE", never="DELETE"),
            table("provider_key_secret", may=EVERY_RIGHT),
            "to_regclass('provider_key_scope_idx') IS NOT NULL",
            "to_regclass('provider_key_organisation_idx') IS NOT NULL",
            "to_regclass('provider_key_position_idx') IS NOT NULL",
            "to_regclass('provider_key_secret_organisation_idx') IS NOT NULL",
        ),
    ),
    "0119_key_cache": Check((no(column("api_key", "cache")),), (column("api_key", "cache"),)),
    "0120_semantic_entry": Check(
        (no_table("semantic_entry"),),
        (
            table("semantic_entry", may="SELECT, INSERT, DELETE", never="UPDATE"),
            "to_regclass('semantic_entry_scope_idx') IS NOT NULL",
            "to_regclass('semantic_entry_account_idx') IS NOT NULL",
            "to_regclass('semantic_entry_expires_at_idx') IS NOT NULL",
        ),
    ),
    "0122_open_refusals": Check(
        (no(function("ledger_hold", "{idempotency,refusal}")),),
        (function("ledger_hold", "{idempotency,refusal}"),),
    ),
    "0124_ping_count": Check(
        (no_table("ping_count"),),
        (table("ping_count", may="SELECT, UPDATE", never="INSERT, DELETE"),),
    ),
    "0125_shared_answer": Check(
        (no_table("shared_answer"),),
        (
            table("shared_answer", may=EVERY_RIGHT),
            "to_regclass('shared_answer_account_idx') IS NOT NULL",
            "to_regclass('shared_answer_user_idx') IS NOT NULL",
            "to_regclass('shared_answer_owner_idx') IS NOT NULL",
            "to_regclass('shared_answer_expires_at_idx') IS NOT NULL",
        ),
    ),
}
"""Migration → what is checked before it and after it."""


class Seed(NamedTuple):
    """A row that is put in after each of the migrations `first` to `last`, as the owner."""

    first: int
    last: int
    sql: str


LATEST = len(FILES)
QUOTAS_FROM = 1 + NAMES.index("0045_quota")
SEEDS = (
    Seed(
        2,
        LATEST,
        "INSERT INTO events (originator_id, originator_version, topic, state, booked_at) VALUES "
        '(gen_random_uuid(), 1, \'api_key.revoked.v1\', convert_to(\'{"id":"x","effective_at":'
        '"2026-01-01T00:00:00.000000Z","actor":"test","correlation_id":"x"}\', \'UTF8\'), '
        "clock_timestamp())",
    ),
    Seed(
        6,
        LATEST,
        "INSERT INTO process_lease (owner_id, home, expires_at) "
        "VALUES (gen_random_uuid(), 'home', 'infinity')",
    ),
    Seed(
        8,
        LATEST,
        "WITH ids AS MATERIALIZED (SELECT gen_random_uuid() AS account, gen_random_uuid() AS lot), "
        "given AS (INSERT INTO events (originator_id, originator_version, topic, state, booked_at) "
        "SELECT account, 1, 'ledger.credits_granted.v2', convert_to(json_build_object('id', 'x', "
        "'effective_at', '2026-01-01T00:00:00.000000Z', 'actor', 'test', 'correlation_id', 'x', "
        "'account_id', account, 'lot_id', lot, 'kind', 'trial', 'priority', 10, "
        "'amount_nano_usd', 5, 'limits', json_build_object('requests', 1000, 'tokens', 100000)"
        ")::text, 'UTF8'), clock_timestamp() FROM ids), "
        "account AS (INSERT INTO credit_account (account_id, version, granted, available) "
        "SELECT account, 1, 5, 5 FROM ids) "
        "INSERT INTO credit_lot (lot_id, account_id, kind, priority, sequence, available) "
        "SELECT lot, account, 'trial', 10, 1, 5 FROM ids",
    ),
    Seed(
        QUOTAS_FROM,
        LATEST,
        "WITH made AS (INSERT INTO quota (quota_id, account_id, scope_kind, scope_id, unit, "
        "period, quota_limit) VALUES (gen_random_uuid(), gen_random_uuid(), 'key', "
        "gen_random_uuid(), 'tokens', 'day', 5) RETURNING quota_id) "
        "INSERT INTO quota_window SELECT quota_id, 'epoch', 1, 2 FROM made",
    ),
    Seed(
        1 + NAMES.index("0057_quota_cell"),
        LATEST,
        "INSERT INTO quota_cell (account_id, lot_id, until, live, left_requests, left_tokens, "
        "left_nano_usd, scopes, quota_ids, begins, units, told) SELECT gen_random_uuid(), "
        "gen_random_uuid(), 'infinity', false, 1, 2, 3, 'x', '{}', '{}', '{}', ''",
    ),
    Seed(
        11,
        LATEST,
        "INSERT INTO idempotent_reply VALUES (gen_random_uuid(), 200, 'text/plain', 'x', 'body')",
    ),
    Seed(
        12,
        LATEST,
        "INSERT INTO api_key VALUES (gen_random_uuid()::text, gen_random_uuid(), "
        "gen_random_uuid(), gen_random_uuid(), 'gw_…', 'name')",
    ),
    Seed(
        13,
        LATEST,
        "INSERT INTO user_secret (user_id, account_id, wrapped_key) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'wrapped')",
    ),
    Seed(
        18,
        19,
        "INSERT INTO projection_progress (name, version) VALUES (gen_random_uuid()::text, 1)",
    ),
    Seed(
        19,
        19,
        "INSERT INTO read_account_balance_v1 VALUES (gen_random_uuid(), 1, 1, 0, 0, 0, 0, 0, 0, 1)",
    ),
    Seed(
        20,
        LATEST,
        "INSERT INTO projection VALUES (gen_random_uuid()::text, 1, 1, 'postgres')",
    ),
    Seed(
        20,
        LATEST,
        "INSERT INTO projection_progress (name, version, partition, host, position) "
        "VALUES (gen_random_uuid()::text, 1, 0, 'follower', 5)",
    ),
    Seed(
        24,
        LATEST,
        "INSERT INTO installation_secret (generation, fingerprint) "
        "SELECT count(*) + 1, gen_random_uuid()::text FROM installation_secret",
    ),
    Seed(
        31,
        LATEST,
        "INSERT INTO app_name VALUES ('app-' || md5(random()::text), 'An app')",
    ),
    Seed(
        33,
        LATEST,
        "INSERT INTO house_loss_of_day VALUES ('2026-01-01', gen_random_uuid(), 5)",
    ),
    Seed(
        37,
        LATEST,
        "INSERT INTO session (session_id, user_id, sealed_origin, expires_at) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), '\\x00', 'infinity')",
    ),
    Seed(
        38,
        LATEST,
        "INSERT INTO mail_token VALUES "
        "(decode(md5(random()::text), 'hex'), gen_random_uuid(), 'reset', 'infinity')",
    ),
    Seed(
        39,
        LATEST,
        "INSERT INTO attempt VALUES (gen_random_uuid()::text, clock_timestamp(), 1)",
    ),
    Seed(
        39,
        LATEST,
        "INSERT INTO known_origin VALUES (gen_random_uuid(), 'origin')",
    ),
    Seed(
        42,
        LATEST,
        "INSERT INTO sealed_api_key VALUES (gen_random_uuid()::text, gen_random_uuid(), 'sealed')",
    ),
    Seed(
        43,
        LATEST,
        "INSERT INTO user_role VALUES "
        "(gen_random_uuid(), 'admin', 1), (gen_random_uuid(), 'user', 2)",
    ),
    Seed(
        NAMES.index("0044_rate_limit") + 1,
        LATEST,
        "INSERT INTO rate_limit (scope, scope_id, set_by, requests_per_minute, cleared, change) "
        "VALUES ('key', gen_random_uuid(), 'owner', 5, false, 1)",
    ),
    Seed(
        NAMES.index("0048_organisation") + 1,
        LATEST,
        "WITH made AS (INSERT INTO organisation (organisation_id, account_id, name_ciphertext, "
        "position) VALUES (gen_random_uuid(), gen_random_uuid(), '00', 1) RETURNING *), "
        "member AS (INSERT INTO organisation_member (organisation_id, user_id, role, position) "
        "SELECT organisation_id, gen_random_uuid(), 'owner', 1 FROM made), "
        "invited AS (INSERT INTO invitation (invitation_id, organisation_id, role, email_hash, "
        "sealed_email, expires_at) SELECT gen_random_uuid(), organisation_id, 'viewer', '', '', "
        "clock_timestamp() FROM made) "
        "INSERT INTO project (project_id, organisation_id, account_id, name, position) "
        "SELECT gen_random_uuid(), organisation_id, account_id, 'search', 2 FROM made",
    ),
    Seed(
        NAMES.index("0050_mail_outbox") + 1,
        LATEST,
        "INSERT INTO mail_outbox (mail_id, kind, sealed) VALUES (gen_random_uuid(), 'reset', 'x')",
    ),
    Seed(
        NAMES.index("0051_once") + 1,
        LATEST,
        "INSERT INTO once VALUES (decode(md5(random()::text), 'hex'), 'state', NULL, 'x', "
        "'infinity')",
    ),
    Seed(
        NAMES.index("0052_totp") + 1,
        LATEST,
        "INSERT INTO recovery_code VALUES (gen_random_uuid(), 'x')",
    ),
    Seed(
        NAMES.index("0053_passkey") + 1,
        LATEST,
        "INSERT INTO passkey (credential_hash, passkey_id, user_id, sealed, sign_count) VALUES "
        "(decode(md5(random()::text), 'hex'), gen_random_uuid(), gen_random_uuid(), 'x', 1)",
    ),
    Seed(
        NAMES.index("0054_linked_identity") + 1,
        LATEST,
        "INSERT INTO linked_identity VALUES (decode(md5(random()::text), 'hex'), "
        "gen_random_uuid(), 'github', 'x')",
    ),
    Seed(
        NAMES.index("0060_adjustments") + 1,
        LATEST,
        "INSERT INTO debit_key VALUES (gen_random_uuid())",
    ),
    Seed(
        NAMES.index("0070_payment") + 1,
        LATEST,
        "INSERT INTO payment (payment_id, account_id, user_id, way, package, amount_minor, "
        "currency, credits_nano_usd, created_at, updated_at) VALUES (gen_random_uuid(), "
        "gen_random_uuid(), gen_random_uuid(), 'intent', '', 50, 'usd', 1, now(), now())",
    ),
    Seed(
        NAMES.index("0071_stripe_inbox") + 1,
        LATEST,
        "INSERT INTO stripe_inbox (event_id, kind, told_by, sealed, happened_at) "
        "VALUES (gen_random_uuid()::text, 'ping', 'webhook', 'x', now())",
    ),
    Seed(
        NAMES.index("0072_stripe_poll") + 1,
        NAMES.index("0072_stripe_poll") + 1,
        "INSERT INTO stripe_poll (since) VALUES (now())",
    ),
    Seed(
        NAMES.index("0075_coupon") + 1,
        LATEST,
        "INSERT INTO coupon (coupon_id, version, code, value, scope, kind, max_uses, valid_from, "
        "valid_until, created_at) SELECT id, 1, id::text, 5, 'global', 'promotional', 2, now(), "
        "'infinity', now() FROM gen_random_uuid() AS id",
    ),
    Seed(
        NAMES.index("0075_coupon") + 1,
        LATEST,
        "INSERT INTO coupon_use VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
        "gen_random_uuid(), 5, 1, now())",
    ),
    Seed(
        NAMES.index("0076_plan") + 1,
        LATEST,
        "INSERT INTO user_plan VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'dev', now(), "
        "NULL, 1)",
    ),
    Seed(
        NAMES.index("0077_trial_person") + 1,
        LATEST,
        "INSERT INTO trial_person VALUES (gen_random_uuid()::text, gen_random_uuid())",
    ),
    Seed(
        NAMES.index("0080_issued_statement") + 1,
        LATEST,
        "WITH made AS (INSERT INTO statement_issuer VALUES (gen_random_uuid()::text, 1) "
        "RETURNING issuer) INSERT INTO issued_statement (issuer, number, account_id, month, zone, "
        "begins, ends, issued_by) SELECT issuer, 1, gen_random_uuid(), '2026-01', 'UTC', "
        "'2026-01-01Z', '2026-02-01Z', 'test' FROM made",
    ),
    Seed(
        NAMES.index("0081_payment_return") + 1,
        LATEST,
        "WITH a AS (INSERT INTO payment_return VALUES (gen_random_uuid()::text, gen_random_uuid(), "
        "'refund', 'out', 1, 'usd', 1, '', now(), now())), b AS (INSERT INTO payment_cost VALUES "
        "(gen_random_uuid()::text, 'fee', gen_random_uuid(), 1, 'usd', 1, now())) "
        "INSERT INTO payout VALUES (gen_random_uuid()::text, gen_random_uuid(), true, 1, 'usd', 1, "
        "now(), now())",
    ),
    Seed(
        NAMES.index("0084_process_manager") + 1,
        LATEST,
        "WITH made AS (INSERT INTO process_manager VALUES (gen_random_uuid()::text, 3) "
        "RETURNING name) INSERT INTO manager_wish (manager, key, kind, position) "
        "SELECT name, 'key', 'kind', 3 FROM made",
    ),
    Seed(
        NAMES.index("0085_referral") + 1,
        LATEST,
        "INSERT INTO referral_code SELECT id::text, gen_random_uuid(), id, 1, '', now() "
        "FROM gen_random_uuid() AS id",
    ),
    Seed(
        NAMES.index("0085_referral") + 1,
        LATEST,
        "INSERT INTO referral (referee, referrer, origin, position, claimed_at) VALUES "
        "(gen_random_uuid(), gen_random_uuid(), '', 1, now())",
    ),
    Seed(
        NAMES.index("0086_payment_fingerprint") + 1,
        LATEST,
        "INSERT INTO payment_fingerprint VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
    ),
    Seed(
        NAMES.index("0087_subscription") + 1,
        LATEST,
        "WITH made AS (INSERT INTO payment_customer VALUES (gen_random_uuid(), "
        "gen_random_uuid()::text) RETURNING account_id) INSERT INTO subscription (stream, "
        "account_id, subscription_id, status, tier, product_id, price_id, period_begins, "
        "period_ends, cancels_at_end, as_of, updated_at) SELECT account_id, account_id, "
        "account_id::text, 'active', 'pro', '', '', 1, 2, false, 0, now() FROM made",
    ),
    Seed(
        NAMES.index("0088_auto_top_up") + 1,
        LATEST,
        "INSERT INTO auto_top_up (account_id, version, enabled, threshold_minor) "
        "VALUES (gen_random_uuid(), 1, true, 500)",
    ),
    Seed(
        NAMES.index("0095_kept_response") + 1,
        LATEST,
        "INSERT INTO kept_response (account_id, response_id, call_id, owner_id, expires_at, body) "
        "VALUES (gen_random_uuid(), 'resp_1', gen_random_uuid(), gen_random_uuid(), now(), 'x')",
    ),
    Seed(
        NAMES.index("0087_subscription") + 1,
        NAMES.index("0095_kept_response") + 1,
        "WITH made AS (SELECT gen_random_uuid() AS stream), "
        "kept AS (INSERT INTO subscription (stream, account_id, subscription_id, status, tier, "
        "product_id, price_id, period_begins, period_ends, cancels_at_end, as_of, updated_at) "
        "SELECT stream, stream, stream::text, 'active', 'pro', '', '', 1, 2, false, 0, now() "
        "FROM made) INSERT INTO events (originator_id, originator_version, topic, state, "
        "booked_at) SELECT stream, version, 'subscription.' || topic || '.v1', "
        "convert_to((jsonb_build_object('id', 'x', 'actor', 'x', 'correlation_id', 'x', "
        "'effective_at', '2026-01-01T00:00:00.000000Z', 'account_id', stream, "
        "'subscription_id', stream, 'invoice_id', stream, 'amount_minor', 5, 'currency', 'usd', "
        "'as_of', 1) || more)::text, 'UTF8'), clock_timestamp() FROM made, (VALUES "
        '(1, \'paid\', \'{"allowance_nano_usd":7,"tax_minor":0,"tier":"pro","full":true,'
        '"period_begins":1,"period_ends":2}\'::jsonb), '
        "(2, 'returned', '{\"phase\":\"out\"}'), (3, 'returned', '{\"phase\":\"back\"}')) "
        "AS told (version, topic, said), LATERAL (SELECT CASE topic WHEN 'paid' THEN said ELSE "
        "said || jsonb_build_object('object_id', stream, 'kind', 'refund', 'value_nano_usd', 5, "
        "'credits_nano_usd', 7, 'credits_end', 0) END AS more) members",
    ),
    Seed(
        NAMES.index("0096_subscription_invoice") + 1,
        LATEST,
        "INSERT INTO subscription_cost VALUES (gen_random_uuid()::text, 'fee', gen_random_uuid(), "
        "'in_1', 1, 'usd', 1, now())",
    ),
    Seed(
        NAMES.index("0100_background_response") + 1,
        LATEST,
        "INSERT INTO kept_response (account_id, response_id, call_id, owner_id, expires_at, body, "
        "runner_id, run_until, cancel_asked_at, events) VALUES (gen_random_uuid(), 'resp_2', "
        "gen_random_uuid(), gen_random_uuid(), now(), 'x', gen_random_uuid(), now(), now(), 'y')",
    ),
    Seed(
        NAMES.index("0103_maintenance") + 1,
        LATEST,
        "INSERT INTO maintenance_window VALUES (gen_random_uuid()::text, 'm', 1, now())",
    ),
    Seed(
        NAMES.index("0104_health_monitor") + 1,
        LATEST,
        "INSERT INTO provider_check VALUES (gen_random_uuid()::text, now(), 12, 3, NULL)",
    ),
    Seed(
        NAMES.index("0113_provider_key") + 1,
        LATEST,
        "INSERT INTO provider_key VALUES (gen_random_uuid(), 1, gen_random_uuid(), "
        "gen_random_uuid(), gen_random_uuid(), NULL, 'p', '', 'WXYZ', true, false, false, "
        "now(), 1)",
    ),
    Seed(
        NAMES.index("0113_provider_key") + 1,
        LATEST,
        "INSERT INTO provider_key_secret VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
    ),
    Seed(
        NAMES.index("0110_stored_file") + 1,
        LATEST,
        "WITH made AS (INSERT INTO stored_file (file_id, account_id, owner_id, purpose, bytes, "
        "expires_at, sealed) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
        "'batch', 1, now(), 'x') RETURNING file_id) "
        "SELECT file_id FROM made",
    ),
    Seed(
        NAMES.index("0110_stored_file") + 1,
        LATEST,
        "INSERT INTO stored_file_chunk SELECT file_id, 1 + (SELECT count(*) FROM "
        "stored_file_chunk), 'y' FROM stored_file LIMIT 1",
    ),
    Seed(
        NAMES.index("0111_batch") + 1,
        LATEST,
        "INSERT INTO batch (batch_id, version, account_id, user_id, key_id, status, endpoint, "
        "input_file_id, price_percent, created_at, expires_at) VALUES (gen_random_uuid(), 1, "
        "gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'validating', '/v1/embeddings', "
        "gen_random_uuid(), 50, now(), now())",
    ),
    Seed(
        NAMES.index("0112_batch_result") + 1,
        LATEST,
        "INSERT INTO batch_result SELECT batch_id, 1 + (SELECT count(*) FROM batch_result), "
        "false, 'z' FROM batch LIMIT 1",
    ),
    Seed(
        NAMES.index("0120_semantic_entry") + 1,
        LATEST,
        "INSERT INTO semantic_entry (account_id, scope, expires_at, sealed_vector, sealed_reply) "
        "VALUES (gen_random_uuid(), sha256('s'), now(), 'v', 'r')",
    ),
    Seed(
        NAMES.index("0125_shared_answer") + 1,
        LATEST,
        "INSERT INTO shared_answer VALUES (md5(gen_random_uuid()::text), gen_random_uuid(), "
        "gen_random_uuid(), gen_random_uuid(), now(), 'r')",
    ),
    Seed(21, LATEST, "INSERT INTO relay_progress VALUES (gen_random_uuid()::text, 3, '{3,0}')"),
)
APPENDS_FROM = 1 + NAMES.index("0058_quota_cell_append")
EVENTS_OF_AN_APPEND = 10


async def append(database: Database) -> None:
    """A grant, five holds in one batch, and what ends four of them: set-based and exact."""
    committer = Committer(
        database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5
    )
    await committer.start()
    try:
        calls = [new_uuid7() for _ in range(5)]
        batches = (
            [entries.grant(ACCOUNT, 10_000)],
            [entries.hold(call, ACCOUNT, 1_000) for call in calls],
            [entries.settle(call, ACCOUNT, 400) for call in calls[:3]],
            [entries.void(calls[3], ACCOUNT)],
        )
        for batch in batches:
            answers = await asyncio.gather(*map(committer.append, batch))
            assert [answer.code for answer in answers] == [AppendCode.OK] * len(batch)
    finally:
        await committer.stop()


def seed(database: Database, level: int) -> None:
    """Fill the tables that there are after so many migrations, and append where one can."""
    with database.connect_as_owner() as connection:
        for each in SEEDS:
            if each.first <= level <= each.last:
                connection.execute(each.sql.encode())
    if level >= APPENDS_FROM:
        before = count(database)
        asyncio.run(append(database))
        assert count(database) == before + EVENTS_OF_AN_APPEND


def count(database: Database) -> int:
    """Events in the log, as the application reads them: each must decode."""
    with database.connect() as connection:
        return len([entry.event.id for entry in read_after(connection, 0)])


def unmet(connection: psycopg.Connection[Any], conditions: tuple[str, ...]) -> list[str]:
    """Those that do not hold."""
    found = []
    for condition in conditions:
        row = connection.execute(f"SELECT {condition}".encode()).fetchone()
        if row != (True,):
            found.append(condition)
    return found


Rows = dict[str, list[dict[str, Any]]]


def rows_of(connection: psycopg.Connection[Any]) -> Rows:
    """Every row of every table."""
    names = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'yoyo'"
    ).fetchall()
    return {
        name: [row for (row,) in connection.execute(f"SELECT to_jsonb(t) FROM {name} t")]
        for (name,) in names
    }


def assert_kept(before: Rows, after: Rows, check: Check) -> None:
    """Every row is there with what it had; it may have more columns."""
    for name in before.keys() - set(check.drops):
        columns = before[name][0].keys() if before[name] else ()
        left = sorted(repr({key: row[key] for key in columns}) for row in after[name])
        kept = sorted(map(repr, before[name]))
        if name in check.adds:
            assert len(left) > len(kept), name
            left = sorted(set(left) & set(kept))
        assert left == kept, name


SCHEMA = """
SELECT 'relation ' || relname, concat_ws(' ', relkind, reloptions, relacl)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i'
UNION ALL
SELECT 'column ' || attrelid::regclass || '.' || attname, concat_ws(' ', attnum,
  format_type(atttypid, atttypmod), attnotnull, attstorage, pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'trigger ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'type ' || typname, typtype::text FROM pg_type
WHERE typnamespace = 'public'::regnamespace
UNION ALL
SELECT 'function ' || oid::regprocedure, concat_ws(' ', CASE prokind WHEN 'a'
  THEN pg_get_function_result(oid) ELSE pg_get_functiondef(oid) END, proacl)
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def schema_of(database: Database) -> dict[str, str]:
    """What the catalog says of the schema, without the bookkeeping of migrations."""
    with database.connect_as_owner() as connection:
        rows = connection.execute(SCHEMA).fetchall()
    return {name: text for name, text in rows if "yoyo" not in name}


@pytest.fixture
def empty(server: Database) -> Iterator[Database]:
    """A database with nothing in it."""
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    with server.with_name("postgres").connect_as_owner() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield server.with_name(name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def migrate_to(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], list[str]]:
    """Migrate as a release with so many migrations does; returns what was applied."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    monkeypatch.setattr(module, "MIGRATIONS", folder)

    def run(level: int) -> list[str]:
        for path in FILES[:level]:
            shutil.copy(path, folder)
        return module.migrate(empty)

    return run


def test_every_migration_has_its_check() -> None:
    """One entry for each file, none for another, numbers without a gap (rule: tidy)."""
    assert list(CHECKS) == NAMES
    numbers = [int(name[:4]) for name in NAMES]
    assert numbers == sorted(set(numbers))
    for path, earlier in zip(FILES[1:], NAMES, strict=False):
        assert f"-- depends: {earlier}\n" in path.read_text(), path.name
        assert "SET LOCAL lock_timeout" in path.read_text(), path.name


def test_each_migration_does_what_its_check_says(
    empty: Database, migrate_to: Callable[[int], list[str]]
) -> None:
    """One at a time with rows in the tables: none is lost, and appends go on (P5, P7)."""
    for level, name in enumerate(NAMES, start=1):
        check = CHECKS[name]
        with empty.connect_as_owner() as connection:
            assert unmet(connection, check.before) == [], name
            new = unmet(connection, check.after)
            assert check.quiet or new == list(check.after), f"{name} checks what was so before"
            kept = rows_of(connection)
        assert migrate_to(level) == [name]
        with empty.connect_as_owner() as connection:
            assert unmet(connection, check.after) == [], name
            assert_kept(kept, rows_of(connection), check)
        seed(empty, level)
    with empty.connect_as_owner() as connection:
        filled = rows_of(connection)
    assert [name for name in filled if not filled[name]] == ["idempotency_key"]
    assert len(filled["open_hold"]) == LATEST - APPENDS_FROM + 1


@pytest.mark.parametrize(
    "level", sorted({*range(0, LATEST + 1, 7), *range(LATEST - 5, LATEST + 1)})
)
def test_every_release_upgrades_to_the_same_schema(
    empty: Database, migrate_to: Callable[[int], list[str]], level: int, server: Database
) -> None:
    """From every seventh prefix and the last six, in use, to the last migration: one schema, and an
    append. What each migration does by itself is checked above (P5).
    """
    assert migrate_to(level) == NAMES[:level]
    seed(empty, level)
    assert migrate_to(LATEST) == NAMES[level:]
    assert migrate_to(LATEST) == []
    found, wanted = schema_of(empty), schema_of(server)
    assert found.items() <= wanted.items(), found.keys() - wanted.keys()
    assert {name for name in wanted.keys() - found.keys() if "read_" not in name} == set()
    seed(empty, LATEST)


def test_writing_the_append_down_changed_nothing(
    empty: Database, migrate_to: Callable[[int], list[str]]
) -> None:
    """0023 holds what 0022 had patched together, but for white space (rule: docs)."""

    def functions() -> dict[str, str]:
        texts = schema_of(empty)
        return {
            name: re.sub(r"\s+", " ", text)
            for name, text in texts.items()
            if name.startswith("function ")
        }

    before_it = NAMES.index("0023_ledger_append_whole")
    migrate_to(before_it)
    before = functions()
    assert migrate_to(before_it + 1) == ["0023_ledger_append_whole"]
    assert functions() == before
    assert len(before) > 10


def test_a_trial_of_before_has_its_limits_as_quotas(
    empty: Database, migrate_to: Callable[[int], list[str]]
) -> None:
    """Those on its grant bind it from the upgrade on, under the domain's ids (money rule 10)."""
    migrate_to(QUOTAS_FROM - 1)
    seed(empty, QUOTAS_FROM - 1)
    migrate_to(QUOTAS_FROM)
    with empty.connect_as_owner() as connection:
        rows = connection.execute(
            "SELECT quota_id, scope_id::text, unit, quota_limit FROM quota q "
            "JOIN credit_account a ON a.account_id = q.account_id AND a.bound "
            "JOIN credit_lot l ON l.lot_id = q.scope_id AND l.bound ORDER BY unit"
        ).fetchall()
    assert [row[2:] for row in rows] == [("requests", 1_000), ("tokens", 100_000)]
    assert all(row[0] == lot_quota_id(row[1], row[2]) for row in rows)


APPENDED_BEFORE = """
SELECT codes FROM ledger_append(%(kinds)s::int2[], %(streams)s::uuid[], %(ix)s::int4[],
  %(accounts)s::uuid[], %(amounts)s::int8[], %(aux)s::int8[], %(states)s::bytea[],
  %(keys)s::bytea[], %(follows)s::uuid[], %(topics)s::text[], %(owner)s::uuid, 600,
  %(tokens)s::int8[], %(ids)s::uuid[], %(ids)s::uuid[])"""


def append_before(connection: psycopg.Connection[Any], *batch: Entry) -> list[int]:
    """Through the function as it was before cells, for one account; key and user are its id."""
    (codes,) = connection.execute(
        APPENDED_BEFORE,
        {
            "kinds": [each.kind for each in batch],
            "streams": [UUID(bytes=each.stream) for each in batch],
            "ix": [1] * len(batch),
            "accounts": [ACCOUNT],
            "amounts": [each.amount for each in batch],
            "aux": [0] * len(batch),
            "states": [each.state for each in batch],
            "keys": [b""] * len(batch),
            "follows": [UUID(int=0)] * len(batch),
            "topics": list(TOPICS),
            "owner": new_uuid7(),
            "tokens": [each.tokens for each in batch],
            "ids": [ACCOUNT] * len(batch),
        },
    ).fetchall()[0]
    return list(codes)


def test_what_quotas_counted_before_goes_on(
    empty: Database, migrate_to: Callable[[int], list[str]]
) -> None:
    """Windows, open holds and their events of an installation in use (money rule 13, P5)."""
    migrate_to(NAMES.index("0057_quota_cell"))
    quota = quota_id(str(ACCOUNT), "key", str(ACCOUNT), "tokens", "total")
    limit = {
        "id": str(new_uuid7()),
        "effective_at": "2026-01-01T00:00:00.000000Z",
        "actor": "test",
        "correlation_id": "x",
        "account_id": str(ACCOUNT),
        "scope_kind": "key",
        "scope_id": str(ACCOUNT),
        "unit": "tokens",
        "window": "total",
        "limit": 100,
    }
    held = [
        entries.hold(new_uuid7(), ACCOUNT, 50, tokens=20, scopes=(ACCOUNT, ACCOUNT))
        for _ in range(4)
    ]
    with empty.connect_as_owner() as connection:
        trial = entries.grant(ACCOUNT, 60, kind="trial", limits={"requests": 9})
        assert append_before(connection, trial, entries.grant(ACCOUNT, 1_000)) == [0, 0]
        connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'quota.set.v1', %s)",
            [quota, json.dumps(limit, separators=(",", ":")).encode()],
        )
        connection.execute(
            "INSERT INTO quota (quota_id, account_id, scope_kind, scope_id, unit, period, "
            "quota_limit) VALUES (%s, %s, 'key', %s, 'tokens', 'total', 100)",
            [quota, ACCOUNT, ACCOUNT],
        )
        assert append_before(connection, *held) == [0] * 4
        end = entries.settle(UUID(bytes=held[0].stream), ACCOUNT, 7)
        assert append_before(connection, end) == [0]
    migrate_to(LATEST)
    migrate_all(empty)
    assert verify(empty).differences == []
    more = entries.hold(new_uuid7(), ACCOUNT, 9, tokens=33, scopes=(ACCOUNT, ACCOUNT))
    ends = [entries.settle(UUID(bytes=each.stream), ACCOUNT, 15) for each in held[1:]]
    small = [
        entries.hold(new_uuid7(), ACCOUNT, 9, tokens=n, scopes=(ACCOUNT, ACCOUNT)) for n in (33, 34)
    ]
    exceeded, ok = AppendCode.QUOTA_EXCEEDED, AppendCode.OK
    assert [each.code for each in append_now(empty, small[1], small[0])] == [exceeded, ok]
    assert [each.code for each in append_now(empty, *ends)] == [ok] * 3
    assert append_now(empty, more)[0].code == exceeded
    assert verify(empty).differences == []


@pytest.mark.parametrize("change", ["UPDATE events SET topic = 'x'", "DELETE FROM events"])
def test_from_the_fifth_on_events_stay(
    empty: Database, migrate_to: Callable[[int], list[str]], change: str
) -> None:
    """The owner too is refused as soon as the trigger stands, and not before (P5)."""
    migrate_to(4)
    seed(empty, 4)
    with empty.connect_as_owner() as connection, connection.transaction(force_rollback=True):
        assert connection.execute(change.encode()).rowcount == 1
    migrate_to(5)
    with (
        empty.connect_as_owner() as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"),
    ):
        connection.execute(change.encode())


def test_a_migration_cut_off_before_its_mark_is_undone(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applied and marked in one transaction: whoever is killed between can start again (P8)."""

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(DatabaseBackend, "mark_one", cut)
        module.migrate(empty)
    assert module.migrate(empty) == NAMES
