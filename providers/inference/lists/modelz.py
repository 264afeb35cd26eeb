"""Modelz's catalog: model tokens, of which the graduated ones are live. It serves no calls.

Source: the address and the parameter that older clients use. The list's own shape is
not documented, so an id is looked for under the names that such lists have.
"""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec

from providers.fetching.fetch import Rules, fetch

RULES = Rules(bytes_max=16 * 1024 * 1024, wait_s=30.0, total_s=60.0)
ITEMS_MAX = 50_000
ID_NAMES = ("model_id", "modelId", "Handle", "handle", "id", "name")
LIST_NAMES = ("data", "tokens", "models", "results")


class ModelzUnavailableError(Exception):
    """The list could not be had, and none is kept."""


class Modelz:
    """Keeps the list for a while."""

    def __init__(self, base_url: str, *, keep_s: float) -> None:
        """Nothing is fetched before it is asked for."""
        self._url, self._keep_s = base_url.rstrip("/") + "/api/tokens", keep_s
        self._kept: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    async def models(self, graduated: bool | None, *, force: bool = False) -> list[dict[str, Any]]:
        """The tokens; raises ModelzUnavailableError. A kept list serves while Modelz is down.

        With `force` they are fetched, and a failure is told; what is kept stays.
        """
        name = "" if graduated is None else str(graduated).lower()
        known = self._kept.get(name)
        if not force and known is not None and time.monotonic() - known[0] < self._keep_s:
            return known[1]
        try:
            found = await self._fetch({"isGraduated": name} if name else {})
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            if known is not None and not force:
                return known[1]
            message = f"the list of Modelz could not be fetched: {error}"
            raise ModelzUnavailableError(message) from None
        self._kept[name] = (time.monotonic(), found)
        return found

    def kept(self) -> list[tuple[str, int, float]]:
        """What is kept: for which question, how many tokens, and how old it is in seconds."""
        now = time.monotonic()
        return [(name, len(rows), now - at) for name, (at, rows) in self._kept.items()]

    def clear(self) -> int:
        """Keep nothing; how many lists there were."""
        count = len(self._kept)
        self._kept.clear()
        return count

    @property
    def keep_s(self) -> float:
        """How long a list is kept, seconds."""
        return self._keep_s

    async def _fetch(self, query: dict[str, str]) -> list[dict[str, Any]]:
        body = msgspec.json.decode(await fetch(self._url, RULES, query=query))
        if isinstance(body, dict):
            body = next((body[n] for n in LIST_NAMES if isinstance(body.get(n), list)), None)
        if not isinstance(body, list):
            message = "the answer holds no list"
            raise msgspec.DecodeError(message)
        items = [each for each in body[:ITEMS_MAX] if isinstance(each, dict)]
        return [{"model_id": id_of(each), **each} for each in items if id_of(each)]


def id_of(item: dict[str, Any]) -> str:
    """The id of a token; empty when it has none."""
    return next((str(item[name]) for name in ID_NAMES if item.get(name)), "")
