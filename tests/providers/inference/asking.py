"""Providers as their tests ask them: configured from the environment, one exchange at a time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.port import Operation
from providers.inference.registry.loading import load_registry

if TYPE_CHECKING:
    from pathlib import Path

    from providers.inference.registry.offers import Provider
    from providers.inference.registry.registry import Registry

NOW = "2026-01-01T00:00:00.000000Z"
MODEL = '[[provider.model]]\nid = "m"\ninput_per_million = "1"\noutput_per_million = "2"\n'


def provider(name: str, environment: dict[str, str], attempt_s: float = 10.0) -> Provider:
    """A built-in provider, configured from the environment."""
    registry = load_registry(
        environment=environment,
        providers_file=None,
        effective_at=NOW,
        limits=ClientLimits(attempt_s=attempt_s),
    )
    return registry.providers[name]


def send(
    made: Provider, body: dict[str, Any], operation: Operation = Operation.CHAT
) -> tuple[int, Any]:
    """One exchange: status and JSON."""

    async def run() -> tuple[int, Any]:
        try:
            answer = await made.upstream.send(operation, json.dumps(body).encode())
            raw = await answer.whole()
            answer.release()
        finally:
            await made.upstream.close()
        return answer.status, json.loads(raw)

    return asyncio.run(run())


def load(path: Path | None, text: str = "", **environment: str) -> Registry:
    """A registry from this file and environment."""
    if path is not None:
        path.write_text(text)
    return load_registry(
        environment=environment, providers_file=path, effective_at=NOW, limits=ClientLimits()
    )
