"""The workloads: ledger appends, and the gateway over HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from event_store.append.committer import Committer
from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.ids import new_uuid7, now_iso
from providers.inference.adapters.http1.client import HttpClient
from providers.inference.adapters.openai_api import OpenAiUpstream
from providers.inference.port import Operation

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.postgres.database import Database

GRANT = 10**15
HELD, COST = 2_460_000, 153_600
MILLISECONDS = 1_000


@dataclass(slots=True)
class Sample:
    """Operations a second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def _sample(latencies_s: list[float], elapsed_s: float) -> Sample:
    ordered = sorted(latencies_s)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * MILLISECONDS

    return Sample(len(ordered) / elapsed_s, at(0.5), at(0.99))


def _state(**fields: object) -> bytes:
    envelope = {
        "id": str(new_uuid7()),
        "effective_at": now_iso(),
        "actor": "api_key:00000000-0000-7000-8000-000000000000",
        "correlation_id": "00000000-0000-7000-8000-000000000000",
    }
    return msgspec.json.encode({**envelope, **fields})[:-1]


def committer_of(database: Database) -> Committer:
    """A committer that is not started yet."""
    return Committer(
        database.application, owner_id=new_uuid7(), hold_ttl_s=1_200, append_timeout_s=10
    )


async def funded_accounts(committer: Committer, count: int) -> list[UUID]:
    """New accounts with more credits than a benchmark can spend."""
    ids = [uuid4() for _ in range(count)]
    for account in ids:
        lot = new_uuid7()
        fact = _state(
            account_id=str(account),
            lot_id=str(lot),
            kind="bonus",
            priority=20,
            amount_nano_usd=GRANT,
        )
        await committer.append(Entry(EntryKind.GRANT, lot.bytes, account.bytes, GRANT, fact))
    return ids


def call_entries(account: UUID) -> tuple[Entry, Entry]:
    """The hold and the charge of one call, as the gateway writes them."""
    call = new_uuid7().bytes
    held = _state(
        account_id=str(account),
        user_id="00000000-0000-7000-8000-000000000000",
        key_id="00000000-0000-7000-8000-000000000000",
        provider="local",
        model="small",
        amount_nano_usd=HELD,
        estimated_cost_nano_usd=0,
        input_tokens_bound=16,
        output_tokens_bound=4_096,
        stream_reply=False,
        price={"version": "local/small@000000000000"},
    )
    attempt = {
        "provider": "local",
        "model": "small",
        "status": 200,
        "started_at": now_iso(),
        "duration_ms": 12,
    }
    settled = _state(
        account_id=str(account),
        usage={
            "input_tokens": 11,
            "output_tokens": 256,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            "source": "provider",
        },
        cost_nano_usd=COST,
        cost_exact_nano_usd=str(COST),
        price_version="local/small@000000000000",
        provider="local",
        model="small",
        attempts=[attempt],
        reason="completed",
    )
    return (
        Entry(EntryKind.HOLD, call, account.bytes, HELD, held),
        Entry(EntryKind.SETTLE, call, account.bytes, COST, settled),
    )


async def appends(database: Database, *, callers: int, accounts: int, seconds: float) -> Sample:
    """Durable entries: each caller holds and settles, one after the other."""
    committer = committer_of(database)
    await committer.start()
    ids = await funded_accounts(committer, accounts)
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        account = ids[number % accounts]
        held, settled = call_entries(account)
        while (began := time.perf_counter()) < end:
            call = new_uuid7().bytes
            for entry in (replace(held, stream=call), replace(settled, stream=call)):
                answer = await committer.append(entry)
                assert answer.code == AppendCode.OK
                now = time.perf_counter()
                latencies.append(now - began)
                began = now

    began = time.perf_counter()
    await asyncio.gather(*[caller(number) for number in range(callers)])
    elapsed = time.perf_counter() - began
    await committer.stop()
    return _sample(latencies, elapsed)


async def requests(
    base_url: str, key: str, *, model: str, stream: bool, connections: int, seconds: float
) -> Sample:
    """Closed loop of whole replies over HTTP; every reply is checked."""
    headers = {"authorization": f"Bearer {key}"}
    client = OpenAiUpstream(HttpClient(base_url, headers=headers))
    asked = {"model": model, "messages": [{"role": "user", "content": "x" * 200}]}
    body = msgspec.json.encode({**asked, "stream": True} if stream else asked)
    latencies: list[float] = []

    async def once() -> None:
        reply = await client.send(Operation.CHAT, body, stream=stream)
        text = await reply.whole()
        reply.release()
        assert reply.status == 200, text[:200]
        assert text.endswith(b"data: [DONE]\n\n") if stream else b'"usage"' in text

    async def caller(end: float) -> None:
        while (began := time.perf_counter()) < end:
            await once()
            latencies.append(time.perf_counter() - began)

    async def phase(length_s: float) -> float:
        latencies.clear()
        began = time.perf_counter()
        await asyncio.gather(*[caller(began + length_s) for _ in range(connections)])
        return time.perf_counter() - began

    await phase(seconds / 4)
    elapsed = await phase(seconds)
    await client.close()
    return _sample(latencies, elapsed)
