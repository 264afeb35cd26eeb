"""The workloads: ledger appends, and the gateway over HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from event_store.committer import Committer
from event_store.entries import AppendCode, Entry, EntryKind
from event_store.ids import new_uuid7, now_iso
from providers.inference.http_client import HttpUpstream

if TYPE_CHECKING:
    from event_store.database import Database

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


async def appends(database: Database, *, callers: int, accounts: int, seconds: float) -> Sample:
    """Durable entries: each caller holds and settles, one after the other."""
    committer = Committer(
        database.application, owner_id=new_uuid7(), hold_ttl_s=1_200, append_timeout_s=10
    )
    await committer.start()
    ids = [uuid4() for _ in range(accounts)]
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
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        account = ids[number % accounts]
        held = _state(
            account_id=str(account),
            user_id="-",
            key_id="-",
            provider="local",
            model="small",
            amount_nano_usd=HELD,
            estimated_cost_nano_usd=0,
            input_tokens_bound=16,
            output_tokens_bound=4_096,
            stream_reply=False,
            price={"version": "local/small@000000000000"},
        )
        settled = _state(
            account_id=str(account),
            usage={"input_tokens": 11, "output_tokens": 256},
            cost_nano_usd=COST,
            cost_exact_nano_usd=str(COST),
            price_version="local/small@000000000000",
            provider="local",
            model="small",
        )
        while (began := time.perf_counter()) < end:
            call = new_uuid7().bytes
            for entry in (
                Entry(EntryKind.HOLD, call, account.bytes, HELD, held),
                Entry(EntryKind.SETTLE, call, account.bytes, COST, settled),
            ):
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
    client = HttpUpstream(base_url, api_key=key)
    asked = {"model": model, "messages": [{"role": "user", "content": "x" * 200}]}
    body = msgspec.json.encode({**asked, "stream": True} if stream else asked)
    latencies: list[float] = []

    async def once() -> None:
        reply = await client.chat(body, stream=stream)
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
