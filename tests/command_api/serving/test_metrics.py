"""What a serving process tells Prometheus of its ledger and its spool."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from domain.overload.pace import MOST
from event_store.append.spool import Spool
from event_store.ids import new_uuid7
from tests.support import entries
from tests.support.harness import RunningGateway, eventually
from tests.support.outages import away

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def scraped(gateway: RunningGateway) -> dict[str, float]:
    """Each metric's value."""
    text = httpx.get(f"{gateway.url}/metrics", timeout=20).text
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_spool_and_the_ledger_are_metrics(
    gateway: RunningGateway, database: Database, server: Database
) -> None:
    """What waits, what was put aside, what a full disk could keep, whether calls can be held
    (rule: observable).
    """
    before = scraped(gateway)
    # How many depends on how busy the machine is.
    assert 0 < before.pop("gatewayz_calls_admitted_limit") <= MOST
    # Counted for the process, which other gateways of the tests may have been in.
    before.pop("gatewayz_failed_attempts_total", None)
    assert before == {
        "gatewayz_ledger_reachable": 1,
        "gatewayz_background_responses": 0,
        "gatewayz_batch_lines_running": 0,
        "gatewayz_batch_lines_total": 0,
        "gatewayz_batch_lines_waiting": 0,
        "gatewayz_batches_running": 0,
        "gatewayz_cached_answers_damaged_total": 0,
        "gatewayz_cached_answers_total": 0,
        "gatewayz_cached_calls_total": 0,
        "gatewayz_cached_calls_waited_for": 0,
        "gatewayz_calls_admitting": 0,
        "gatewayz_calls_under_way": 0,
        "gatewayz_calls_waited_seconds_count": 0,
        "gatewayz_calls_waited_seconds_sum": 0,
        "gatewayz_calls_waiting": 0,
        "gatewayz_realtime_sessions": 0,
        "gatewayz_semantic_answers_damaged_total": 0,
        "gatewayz_semantic_answers_total": 0,
        "gatewayz_semantic_lookup_seconds_total": 0,
        "gatewayz_shared_answers_damaged_total": 0,
        "gatewayz_shared_answers_total": 0,
        "gatewayz_limits_shared": 0,
        "gatewayz_limits_decided_alone_total": 0,
        "gatewayz_spool_files": 0,
        "gatewayz_spool_remembered": 0,
        "gatewayz_spool_quarantined": 0,
        "gatewayz_spool_reserve_files": 8,
        "gatewayz_replies_not_kept_total": 0,
        "gatewayz_mails_total": 0,
        "gatewayz_mails_waiting": 0,
    }
    home = gateway.settings.installation.home
    other = Spool(home, new_uuid7())
    other.keep(entries.void(new_uuid7(), new_uuid7()))
    aside = other.own / "quarantine"
    aside.mkdir()
    (aside / "torn").write_bytes(b"{")
    other.reserve.keep("taken", b"x")
    with away(database, server):
        eventually(lambda: scraped(gateway)["gatewayz_ledger_reachable"] == 0)
    after = scraped(gateway)
    assert (after["gatewayz_spool_files"], after["gatewayz_spool_quarantined"]) == (1, 1)
    assert after["gatewayz_spool_reserve_files"] == 7


def test_they_are_made_once_a_second(gateway: RunningGateway) -> None:
    """Whoever asks, for it takes a walk through the spool (rule: bounded)."""
    aside = Spool(gateway.settings.installation.home, new_uuid7()).own / "quarantine"
    aside.mkdir(parents=True, exist_ok=True)
    (aside / "0").write_bytes(b"{")
    began = time.monotonic()
    first = scraped(gateway)
    (aside / "1").write_bytes(b"{")
    assert scraped(gateway) == first or time.monotonic() > began + 1
    eventually(lambda: scraped(gateway)["gatewayz_spool_quarantined"] == 2)
