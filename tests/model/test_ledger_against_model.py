"""The store's append and the pure model answer the same commands alike (P1, P2, P3, P4)."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid3, uuid5

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.events.ledger import (
    ChargeCorrected,
    CreditsGranted,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    MoneyEvent,
    ReceivablePaid,
)
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.ledger.amounts import ACCOUNT_GRANTED_NANO_USD_MAX, GRANT_NANO_USD_MAX
from domain.ledger.model.ledger import ModelLedger
from domain.pricing.money import ENTRY_NANO_USD_MAX
from domain.quotas.book import shown
from domain.quotas.terms import LIMIT_MAX, Unit, quota_id
from domain.quotas.windows import Window
from event_store.append.committer import Committer
from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.ids import new_envelope, to_iso
from event_store.log.aggregates import Aggregates
from event_store.log.pruned_keys import prune_keys
from event_store.log.reading import read_after
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from projections.hosting.inline_state import lending_differences
from projections.hosting.verify import verify
from tests.conftest import fresh_database
from tests.support import entries

if TYPE_CHECKING:
    from domain.events.quotas import QuotaEvent
    from event_store.postgres.database import Database

SPACE = UUID("00000000-0000-7000-8000-000000000000")
ACCOUNTS = [uuid5(SPACE, f"account {n}") for n in range(3)]
CALLS = [uuid5(SPACE, f"call {n}") for n in range(900)]
COMMON = 18
"""So many of the calls are the subject of most commands, and may be held again and again."""
LOTS = range(8)
DEBITS = range(12)
FOREIGN = uuid5(SPACE, "a hold of nobody")
KEYS = [[uuid5(SPACE, f"key {n} {m}") for m in range(2)] for n in range(3)]
USERS = [uuid5(SPACE, f"user {n}") for n in range(3)]
PROJECTS = [uuid5(SPACE, f"project {n}") for n in range(3)]
ORGANISATIONS = [uuid5(SPACE, f"organisation {n}") for n in range(3)]
START = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
"""The month ends soon, in one zone after the other."""
ZONES = {"UTC": 0, "Africa/Lagos": 3_600, "Atlantic/Cape_Verde": -3_600}
"""Seconds ahead of UTC; all midnights of theirs are near."""
WRITERS = 3
OF_CALLS = (EntryKind.HOLD, EntryKind.EXTEND, EntryKind.SETTLE, EntryKind.VOID)
HOLD_TTL_S = 600

ABSURD = (-(2**63), -1, 2**63 - 1, 2**63, 2**64 - 1)
entry_bounds = st.sampled_from((*ABSURD, ENTRY_NANO_USD_MAX, ENTRY_NANO_USD_MAX + 1))
grant_bounds = st.sampled_from((*ABSURD, 0, GRANT_NANO_USD_MAX, GRANT_NANO_USD_MAX + 1))
debit_bounds = st.sampled_from((*ABSURD, 0, GRANT_NANO_USD_MAX, GRANT_NANO_USD_MAX + 1))
usual = st.integers(min_value=0, max_value=60)
amounts = st.one_of(usual, usual, usual, entry_bounds)
calls = st.sampled_from(range(COMMON))
keys = st.one_of(st.none(), st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()))

ends = st.sampled_from(["last", "last", "last", "first", "none"])
holds = st.sampled_from(["last", "last", "last", "first", "none", "foreign"])
"""Which end a hold that is placed again follows, and which hold an outcome is of."""

command = st.one_of(
    st.tuples(
        st.just("grant"),
        st.sampled_from(LOTS),
        st.sampled_from(range(len(ACCOUNTS))),
        st.integers(1, 120),
        st.just("trial"),
        st.one_of(st.none(), st.integers(min_value=1, max_value=3000)),
    ),
    st.tuples(
        st.just("grant"),
        st.sampled_from(LOTS),
        st.sampled_from(range(len(ACCOUNTS))),
        st.one_of(st.integers(1, 120), st.integers(1, 120), grant_bounds),
        st.sampled_from(["trial", "bonus", "purchase"]),
        st.one_of(st.none(), st.integers(min_value=1, max_value=3000)),
    ),
    st.tuples(st.just("hold"), calls, amounts, keys, ends),
    st.tuples(st.just("hold"), calls, amounts, st.none(), ends),
    st.tuples(st.just("hold"), calls, st.integers(min_value=1, max_value=9), st.none(), ends),
    st.tuples(st.just("extend"), calls, amounts, holds),
    st.tuples(st.just("settle"), calls, amounts, holds),
    st.tuples(st.just("settle"), calls, st.integers(min_value=0, max_value=5), holds),
    st.tuples(st.just("void"), calls, holds),
    st.tuples(
        st.just("debit"),
        st.sampled_from(DEBITS),
        st.sampled_from(range(len(ACCOUNTS))),
        st.one_of(st.integers(1, 150), st.integers(1, 150), debit_bounds),
        st.sampled_from(["refund", "admin_debit"]),
        st.one_of(st.none(), st.sampled_from(LOTS)),
    ),
    st.tuples(
        st.just("transfer"),
        st.sampled_from(DEBITS),
        st.sampled_from(range(len(ACCOUNTS))),
        st.sampled_from(range(len(ACCOUNTS))),
        st.one_of(st.integers(1, 150), st.integers(1, 150), debit_bounds),
    ),
    st.tuples(st.just("close"), st.sampled_from(range(len(ACCOUNTS))), st.sampled_from(LOTS)),
    st.tuples(st.just("correct"), calls, amounts, st.sampled_from("abc")),
    st.tuples(st.just("correct"), calls, st.integers(0, 9), st.sampled_from("abc")),
)


def lot_of_transfer(transfer: str, lot: str) -> str:
    """The lot that a transfer makes of another: a UUID of both, by their MD5 (RFC 9562, 5.3)."""
    return str(uuid3(UUID(transfer), lot))


def corrected_lot(call: int, version: str) -> UUID:
    """The lot that a correction makes of what lay on lots that expired."""
    return uuid5(CALLS[call], version)


def debit_of(number: int) -> UUID:
    """The debit of a number."""
    return uuid5(SPACE, f"debit {number}")


def lot_of(number: int) -> UUID:
    """The lot of a number; those beyond LOTS are of `fill`."""
    return uuid5(SPACE, f"lot {number}")


def named(follows: UUID | None) -> str | None:
    """An event's id as events have it."""
    return None if follows is None else str(follows)


def key_bytes(key: tuple[str, str, bool] | None) -> bytes:
    """A key's hash and the input's digest, 32 bytes each."""
    return b"" if key is None else key[0].encode() * 32 + key[1].encode() * 32


def limits_of(kind: str, amount: int) -> dict[str, int] | None:
    """The limits on a grant of the tests: the more a trial gives, the more it allows."""
    if kind != "trial":
        return None
    return {"requests": 1 + amount % 7, "tokens": 20 + amount % 97}


def tokens_of(amount: int) -> int:
    """So many tokens a hold or an extension of this amount is for: often fewer than are used."""
    return abs(amount) % 37


def output_of(cost: int) -> int:
    """So many tokens of a settlement's usage are output, which costs twice as much."""
    return cost % 5 if cost > 10 else 0


class LedgerMachine(RuleBasedStateMachine):
    """Random commands, alone and in batches, from several writers, while time passes."""

    server: Database

    def __init__(self) -> None:
        """Fresh database and model, with a clock that the test moves."""
        super().__init__()
        self.fresh = fresh_database(self.server)
        self.database = self.fresh.__enter__()
        self.loop = asyncio.new_event_loop()
        self.model = ModelLedger(
            zones=lambda name: ((0, ZONES[name]),), lot_of_transfer=lot_of_transfer
        )
        self.quotas: dict[UUID, list[QuotaEvent]] = {}
        self.aggregates: Aggregates | None = None
        self.now = START
        with self.database.connect_as_owner() as connection:
            connection.execute("CREATE TABLE test_clock AS SELECT %s AS now", [self.now])
            connection.execute("GRANT SELECT ON test_clock TO gatewayz_app")
            connection.execute(
                "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql "
                "AS $$ SELECT now FROM test_clock $$"
            )
        self.writers = [
            Committer(
                self.database.application,
                owner_id=SPACE,
                hold_ttl_s=HOLD_TTL_S,
                append_timeout_s=5,
            )
            for _ in range(WRITERS)
        ]
        for writer in self.writers:
            self.loop.run_until_complete(writer.start())
        self.expires: dict[str, datetime] = {}
        self.begun = 0
        self.full = False

    @initialize()
    def begin(self) -> None:
        """Start with something to spend."""
        self.run(
            0,
            [
                ("grant", 0, 0, 100, "purchase", None),
                ("grant", 1, 0, 50, "trial", 2_000),
                ("grant", 2, 1, 70, "bonus", None),
                ("grant", 3, 1, 30, "bonus", 1_000),
            ],
        )

    def account_of(self, call: int) -> UUID:
        """Each call belongs to one account."""
        return ACCOUNTS[call % len(ACCOUNTS)]

    def scopes_of(self, call: int) -> tuple[UUID, ...]:
        """Key and user of a call, and of the second key of an account project and organisation."""
        account = call % len(ACCOUNTS)
        second = call // len(ACCOUNTS) % 2
        whole = (KEYS[account][second], USERS[account], PROJECTS[account], ORGANISATIONS[account])
        return whole if second else whole[:2]

    def follows(self, call: int, which: str, kind: type[MoneyEvent]) -> UUID | None:
        """The event of a call that an entry names, as the log stands."""
        if which == "foreign":
            return FOREIGN
        known = [
            event.id
            for event in self.model.log
            if event.originator_id == CALLS[call] and isinstance(event, kind)
        ]
        if which == "none" or not known:
            return None
        return UUID(known[-1 if which == "last" else 0])

    def both(self, spec: tuple[Any, ...]) -> tuple[Entry, str]:
        """The entry for the store, and the model's answer."""
        now = to_iso(self.now)
        match spec:
            case ("grant", lot, account, amount, kind, seconds):
                expires = None if seconds is None else self.now + timedelta(seconds=seconds)
                text = None if expires is None else to_iso(expires)
                limits = limits_of(kind, amount)
                entry = entries.grant(
                    ACCOUNTS[account],
                    amount,
                    lot=lot_of(lot),
                    kind=kind,
                    expires_at=text,
                    limits=limits,
                )
                answer = self.model.grant(
                    str(ACCOUNTS[account]), str(lot_of(lot)), kind, amount, text, limits, now
                )
            case ("hold", call, amount, key, which):
                account = self.account_of(call)
                packed = key_bytes(key)
                follows = self.follows(call, which, HoldResolved)
                scopes, again = self.scopes_of(call), bool(key and key[2])
                entry = entries.hold(
                    CALLS[call],
                    account,
                    amount,
                    estimated=amount // 2,
                    key=packed,
                    follows=follows,
                    tokens=tokens_of(amount),
                    scopes=scopes,
                    asks_again=again,
                )
                pair = (packed[:32].hex(), packed[32:].hex()) if key else None
                answer = self.model.hold(
                    str(CALLS[call]),
                    str(account),
                    amount,
                    now,
                    estimated_cost=amount // 2,
                    key=pair,
                    event_id=entry.event_id.decode(),
                    follows=named(follows),
                    tokens=tokens_of(amount),
                    scopes=tuple(map(str, scopes)),
                    asks_again=again,
                )
                if answer == "ok":
                    self.expires[str(CALLS[call])] = self.now + timedelta(seconds=HOLD_TTL_S)
            case ("extend", call, amount, which):
                follows = self.follows(call, which, HoldPlaced)
                tokens = tokens_of(amount)
                entry = entries.extend(
                    CALLS[call], self.account_of(call), amount, follows=follows, tokens=tokens
                )
                answer = self.model.extend(
                    str(CALLS[call]), amount, now, follows=named(follows), tokens=tokens
                )
            case ("settle", call, cost, which):
                follows = self.follows(call, which, HoldPlaced)
                output = output_of(cost)
                entry = entries.settle(
                    CALLS[call], self.account_of(call), cost, follows=follows, output=output
                )
                answer = self.model.settle(
                    str(CALLS[call]),
                    cost,
                    now,
                    event_id=entry.event_id.decode(),
                    follows=named(follows),
                    usage=entries.usage_of(cost, output),
                )
            case ("debit", debit, account, amount, kind, lot):
                made, first = debit_of(debit), None if lot is None else lot_of(lot)
                entry = entries.debit(
                    ACCOUNTS[account], amount, debit_id=made, kind=kind, lot=first
                )
                answer = self.model.debit(
                    str(ACCOUNTS[account]), str(made), kind, amount, now, lot_id=named(first)
                )
            case ("transfer", debit, account, other, amount):
                made = debit_of(debit)
                entry = entries.transfer(ACCOUNTS[account], ACCOUNTS[other], amount, debit_id=made)
                answer = self.model.transfer(
                    str(ACCOUNTS[account]), str(made), str(ACCOUNTS[other]), amount, now
                )
            case ("close", account, lot):
                entry = entries.close(ACCOUNTS[account], lot_of(lot))
                answer = self.model.close(str(ACCOUNTS[account]), str(lot_of(lot)), now)
            case ("correct", call, cost, version):
                account, renewed = self.account_of(call), corrected_lot(call, version)
                entry = entries.correct(CALLS[call], account, cost, version=version, lot=renewed)
                answer = self.model.correct(
                    str(CALLS[call]), str(account), cost, version, str(renewed), now
                )
            case _:
                _, call, which = spec
                follows = self.follows(call, which, HoldPlaced)
                entry = entries.void(CALLS[call], self.account_of(call), follows=follows)
                answer = self.model.void(
                    str(CALLS[call]),
                    now,
                    event_id=entry.event_id.decode(),
                    follows=named(follows),
                )
        return entry, answer

    def run(self, writer: int, specs: list[tuple[Any, ...]]) -> None:
        """One batch through the store, the same commands through the model."""
        pairs, told = [], []
        for spec in specs:
            pairs.append(self.both(spec))
            told.append((self.model.lacking, self.model.spare))

        async def send() -> list[Any]:
            futures = [self.writers[writer].append(entry) for entry, _ in pairs]
            return await asyncio.gather(*futures)

        answers = self.loop.run_until_complete(send())
        got = [AppendCode(answer.code).name.lower() for answer in answers]
        got = ["ok" if name == "duplicate" else name for name in got]
        assert got == [expected for _, expected in pairs]
        numbers = self.numbers()
        last = {}
        for (entry, _), answer, (lacking, spare) in zip(pairs, answers, told, strict=True):
            if answer.code == AppendCode.QUOTA_EXCEEDED:
                assert numbers[answer.figure] == lacking
            last[entry.account] = (entry.kind, entry.stream, answer, spare)
        for account, (kind, stream, answer, spare) in last.items():
            if kind in OF_CALLS and answer.code == AppendCode.OK:
                known = self.model.state.account(str(UUID(bytes=account)))
                loss = self.loss_of(stream) if kind == EntryKind.SETTLE else 0
                held = kind in (EntryKind.HOLD, EntryKind.EXTEND)
                assert answer.loss == loss
                assert loss or answer.figure == (spare if held else known.available)

    def numbers(self) -> dict[int, str]:
        """Quotas by the number that refusals name them by."""
        with self.database.connect() as connection:
            return dict(connection.execute("SELECT number, quota_id::text FROM quota").fetchall())

    def loss_of(self, stream: bytes) -> int:
        """What the call's last settlement left unpaid, nano-USD."""
        return [
            event.house_loss_nano_usd
            for event in self.model.log
            if event.originator_id == UUID(bytes=stream) and isinstance(event, HoldSettled)
        ][-1]

    @precondition(lambda self: not self.full)
    @rule(account=st.integers(0, len(ACCOUNTS) - 1))
    def fill(self, account: int) -> None:
        """So many grants that an account takes no further one."""
        self.full = True
        count = ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX + 1
        lots = range(len(LOTS), len(LOTS) + count)
        self.run(0, [("grant", lot, account, GRANT_NANO_USD_MAX, "purchase", None) for lot in lots])

    @rule(
        account=st.integers(0, len(ACCOUNTS) - 1),
        scope=st.sampled_from(["key", "key", "user", "account", "project", "organisation"]),
        unit=st.sampled_from(list(Unit)),
        window=st.sampled_from(list(Window)),
        limit=st.one_of(st.integers(0, 6), st.integers(0, 90), st.just(LIMIT_MAX)),
        zone=st.sampled_from([*ZONES]),
    )
    def set_quota(
        self, account: int, scope: str, unit: str, window: str, limit: int, zone: str
    ) -> None:
        """A limit is set, lowered, raised, or moved to another zone."""
        self.save_limit(account, scope, unit, window, limit, zone)

    def save_limit(
        self, account: int, scope: str, unit: str, window: str, limit: int, zone: str
    ) -> None:
        """The event of a limit, to both."""
        scopes = {
            "key": KEYS[account][limit % 2],
            "user": USERS[account],
            "project": PROJECTS[account],
            "organisation": ORGANISATIONS[account],
        }
        payer, scope_id = str(ACCOUNTS[account]), str(scopes.get(scope, ACCOUNTS[account]))
        made = quota_id(payer, scope, scope_id, unit, window)
        self.save_quota(
            QuotaSet(
                originator_id=made,
                originator_version=len(self.quotas.get(made, ())) + 1,
                **new_envelope("test"),
                account_id=payer,
                scope_kind=scope,
                scope_id=scope_id,
                unit=unit,
                window=window,
                limit=limit,
                zone=zone,
            )
        )

    @rule(
        account=st.integers(0, len(ACCOUNTS) - 1),
        limits=st.dictionaries(
            st.tuples(
                st.sampled_from(["key", "user", "account", "project", "organisation"]),
                st.sampled_from(list(Unit)),
                st.sampled_from(list(Window)),
            ),
            st.integers(1, 60),
            min_size=1,
            max_size=4,
        ),
        amount=st.integers(1, 12),
        more=st.integers(0, 12),
        cost=st.integers(0, 40),
        zone=st.sampled_from([*ZONES]),
        seconds=st.sampled_from([1, 1, 400, 1_900]),
        writer=st.integers(0, WRITERS - 1),
    )
    def bound_calls(
        self,
        account: int,
        limits: dict[tuple[str, str, str], int],
        amount: int,
        more: int,
        cost: int,
        zone: str,
        seconds: int,
        writer: int,
    ) -> None:
        """Calls under several quotas from hold to settlement, beyond them and past midnight."""
        for (scope, unit, window), limit in limits.items():
            self.save_limit(account, scope, unit, window, limit, zone)
        self.begun += 18
        mine = [self.begun + account + len(ACCOUNTS) * n for n in range(6)]
        self.run(writer, [("hold", call, amount, None, "last") for call in mine])
        self.run(writer, [("extend", call, more, "last") for call in mine[:3]])
        self.time_passes(seconds)
        self.run(writer, [("settle", call, cost, "last") for call in mine[1:]])

    @precondition(lambda self: self.quotas)
    @rule(which=st.integers(0, 99))
    def remove_quota(self, which: int) -> None:
        """One binds no further hold; those that lie on it still do."""
        made = sorted(self.quotas)[which % len(self.quotas)]
        events = self.quotas[made]
        self.save_quota(
            QuotaRemoved(
                originator_id=made,
                originator_version=len(events) + 1,
                **new_envelope("test"),
                account_id=events[0].account_id,
            )
        )

    def save_quota(self, event: QuotaEvent) -> None:
        """Save it through the library, and tell the model."""
        if self.aggregates is None:
            self.aggregates = Aggregates(self.database)
        self.aggregates.append([event])
        self.model.set_quota(event)
        self.quotas.setdefault(event.originator_id, []).append(event)

    @rule(spec=command, writer=st.integers(0, WRITERS - 1))
    def one(self, spec: tuple[Any, ...], writer: int) -> None:
        """A single command."""
        self.run(writer, [spec])

    @rule(specs=st.lists(command, min_size=5, max_size=12), writer=st.integers(0, WRITERS - 1))
    def many(self, specs: list[tuple[Any, ...]], writer: int) -> None:
        """A batch, large enough for the set-based path."""
        self.run(writer, specs)

    @rule(
        account=st.integers(0, len(ACCOUNTS) - 1),
        amount=st.integers(1, 3),
        cost=st.integers(0, 5),
        writer=st.integers(0, WRITERS - 1),
        keyed=st.booleans(),
    )
    def many_small(self, account: int, amount: int, cost: int, writer: int, keyed: bool) -> None:
        """Holds that all fit their account's first lot, and then their settlements: set-based."""
        mine = [call for call in range(COMMON) if call % len(ACCOUNTS) == account]
        others = [call for call in range(COMMON) if call % len(ACCOUNTS) != account]
        names = {call: (chr(ord("A") + call), "x", call % 2 == 1) for call in mine + others}
        key = {call: name if keyed else None for call, name in names.items()}
        self.run(writer, [("hold", call, amount, key[call], "last") for call in mine + others[:2]])
        self.run(writer, [("settle", call, cost, "last") for call in mine + others[:2]])

    @rule(spec=command, writers=st.permutations(range(WRITERS)))
    def again(self, spec: tuple[Any, ...], writers: list[int]) -> None:
        """The same entry sent twice, as after a lost connection, counts once."""
        entry, expected = self.both(spec)

        async def send(writer: int) -> Any:
            return await self.writers[writer].append(entry)

        first = self.loop.run_until_complete(send(writers[0]))
        name = AppendCode(first.code).name.lower()
        assert ("ok" if name == "duplicate" else name) == expected
        count = self.count()
        second = self.loop.run_until_complete(send(writers[1]))
        assert self.count() == count
        if first.applied:
            assert second.code == AppendCode.DUPLICATE

    @rule(call=calls, writer=st.integers(0, WRITERS - 1))
    def sweep(self, call: int, writer: int) -> None:
        """A hold expires only once its life is over (its owner has no lease here)."""
        call_id = str(CALLS[call])
        held = self.model.state.open_holds.get(call_id)
        entry = entries.expire(CALLS[call], self.account_of(call))

        async def send() -> Any:
            return await self.writers[writer].append(entry)

        if held and self.expires[call_id] > self.now:
            assert self.loop.run_until_complete(send()).code == AppendCode.OWNER_ALIVE
            return
        estimated = 0
        if held:
            placed = [e for e in self.model.log if str(e.originator_id) == call_id]
            estimated = [
                e.estimated_cost_nano_usd  # type: ignore[attr-defined]
                for e in placed
                if e.TOPIC.startswith("ledger.hold_placed")
            ][-1]
        expected = self.model.expire(
            call_id, estimated, to_iso(self.now), event_id=entry.event_id.decode()
        )
        answer = self.loop.run_until_complete(send())
        assert AppendCode(answer.code).name.lower() == expected

    @rule(seconds=st.sampled_from((0, 600, 1_200)))
    def prune(self, seconds: int) -> None:
        """Old keys are forgotten, by the position of the log."""
        self.loop.run_until_complete(prune_keys(self.database, timedelta(seconds=seconds)))
        with self.database.connect() as connection:
            ids = connection.execute(
                "SELECT convert_from(substr(state, 8, 36), 'UTF8') FROM events, idempotency_pruned "
                "WHERE notification_id <= position"
            ).fetchall()
        self.model.prune({event_id for (event_id,) in ids})

    @rule(seconds=st.integers(min_value=1, max_value=900))
    def time_passes(self, seconds: int) -> None:
        """Lots and holds grow old."""
        self.now += timedelta(seconds=seconds)
        with self.database.connect_as_owner() as connection:
            connection.execute("UPDATE test_clock SET now = %s", [self.now])

    def count(self) -> int:
        """Events in the log."""
        with self.database.connect() as connection:
            row = connection.execute("SELECT count(*) FROM events").fetchone()
            assert row is not None
            return int(row[0])

    @invariant()
    def quotas_agree(self) -> None:
        """All windows are those of the model, and none shows more than its limit."""
        with self.database.connect() as connection:
            stored = {
                (quota, begins): figures
                for quota, begins, *figures in connection.execute(
                    "SELECT quota_id::text, iso_instant(begins), used, held FROM quota_count"
                ).fetchall()
            }
        modelled = {
            (quota.quota_id, begins): list(figures)
            for quota in self.model.state.quotas.quotas.values()
            for begins, figures in quota.windows.items()
        }
        assert stored == modelled
        for (quota, _), (used, held) in modelled.items():
            limit = self.model.state.quotas.quotas[quota].limit
            seen = shown(used, held, limit)
            assert 0 <= seen.used + seen.held <= limit
            assert seen.overrun == max(0, used + held - limit)
        with self.database.connect() as connection:
            assert list(lending_differences(connection)) == []

    @invariant()
    def balances_agree(self) -> None:
        """All balances and lots are those of the model."""
        with self.database.connect() as connection:
            stored = {
                str(row[0]): row[1:]
                for row in connection.execute(
                    "SELECT account_id, granted, available, held, settled, breakage, debited, owed "
                    "FROM credit_account"
                ).fetchall()
            }
            open_holds = {
                str(row[0]): row[1]
                for row in connection.execute("SELECT call_id, amount FROM open_hold").fetchall()
            }
        modelled = {
            each.account_id: (
                each.granted,
                each.available,
                each.held,
                each.settled,
                each.breakage,
                each.debited,
                each.owed,
            )
            for each in self.model.state.accounts.values()
            if each.granted or each.account_id in stored
        }
        # Whatever an account has pays for what it owes before anything else.
        assert not [row for row in stored.values() if row[1] and row[-1]]
        assert stored == modelled
        assert open_holds == {k: hold.amount for k, hold in self.model.state.open_holds.items()}

    def teardown(self) -> None:
        """What was opened is closed, also where the store and the model did not agree."""
        try:
            self.agree()
        finally:
            if self.aggregates is not None:
                self.aggregates.close()
            for writer in self.writers:
                self.loop.run_until_complete(writer.stop())
            self.loop.close()
            self.fresh.__exit__()

    def agree(self) -> None:
        """The events are those of the model, and the replay proves the rest."""
        with self.database.connect() as connection:
            stored = [
                (entry.event.TOPIC, str(entry.event.originator_id), _figures(entry.event))
                for entry in read_after(connection, 0, 100_000)
                if isinstance(entry.event, MoneyEvent)
            ]
            for projection in PROJECTIONS:
                runner = Runner(projection)
                while runner.advance(connection, 7)[0]:
                    pass
        modelled = [(e.TOPIC, str(e.originator_id), _figures(e)) for e in self.model.log]
        assert [each for each in stored if each not in modelled] == []
        assert [each for each in modelled if each not in stored] == []
        assert len(stored) == len(modelled)
        report = verify(self.database)
        assert report.differences == []
        assert set(report.read_models.values()) == {report.position}


FIGURES = (
    *("originator_version", "amount_nano_usd", "held_nano_usd", "settled_nano_usd"),
    *("released_nano_usd", "breakage_nano_usd", "house_loss_nano_usd", "available_nano_usd"),
    *(
        "causation_id",
        "lots",
        "released_lots",
        "forfeited_lots",
        "beyond_lots",
        "lot_id",
        "expires_at",
        "kind",
        "quotas",
        "bound_by",
        "held_tokens",
    ),
    *("debit_id", "taken_nano_usd", "owed_nano_usd", "to_account_id"),
    *("returned_nano_usd", "renewed_nano_usd", "renewed_lots"),
    *("transfer_id", "from_account_id"),
)
OF_ADJUSTMENTS = (CreditsGranted, ReceivablePaid)
"""Events that the append makes itself: their cause is an event whose id the model does not know."""


def _figures(event: object) -> dict[str, Any]:
    found = {name: getattr(event, name) for name in FIGURES if hasattr(event, name)}
    if isinstance(event, OF_ADJUSTMENTS):
        del found["causation_id"]
    if isinstance(event, ChargeCorrected):
        found |= {"cost": event.cost_nano_usd, "version": event.price_version}
    return found


@pytest.mark.timeout(900)
def test_store_and_model_agree(server: Database) -> None:
    """Any commands, in any batches, of several writers: the same answers (P1, P2, P3, P4, P8)."""
    machine = type("Machine", (LedgerMachine,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("GATEWAYZ_MODEL_EXAMPLES", "25")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
