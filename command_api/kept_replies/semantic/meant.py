"""The semantic cache of a process: who makes its vectors, what it found, and its counts."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from command_api.kept_replies.semantic.entries import Entries
from domain.identity.key_cache import PARTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from command_api.kept_replies.response_cache import CachedReply
    from command_api.kept_replies.semantic.asked import Split
    from command_api.settings.stores import KeptReplySettings
    from domain.identity.key_cache import Semantic
    from edge.caller import Caller


class Vector(NamedTuple):
    """A text's vector, packed, and the call that made it; else the reason why there is none."""

    packed: bytes = b""
    call_id: str = ""
    reason: str = ""


class Meant:
    """What the semantic cache is to one call."""

    __slots__ = ("call_id", "generation", "reply", "scope", "similarity", "told", "vector")

    def __init__(self, told: str, generation: int = 0) -> None:
        """`told` is what its caller is told."""
        self.told, self.generation = told, generation
        self.scope = self.vector = b""
        self.call_id = ""
        self.reply: CachedReply | None = None
        self.similarity: int | None = None


class SemanticCache:
    """One for each process."""

    def __init__(self, lookups: Lookups, vault: Vault, settings: KeptReplySettings) -> None:
        """Nobody makes vectors yet."""
        self.entries = Entries(lookups, vault, settings)
        self.model = settings.semantic_cache_model
        self.text_bytes_max = settings.semantic_cache_text_bytes_max
        self._least = settings.semantic_cache_threshold_percent * PARTS // 100
        self.vector_of: Callable[[Caller, str, str, int], Awaitable[Vector]] | None = None
        """Makes the vector of a text for a caller's call, which is to hold so much, nano-USD;
        set where a process serves calls.
        """
        self.generation = 0
        self.results: Counter[str] = Counter()
        self.seconds, self.kept = 0.0, 0
        """Of all look-ups together, their vectors with them."""

    async def look_up(
        self,
        caller: Caller,
        call_id: str,
        held: int,
        semantic: Semantic,
        split: Split,
        route: str,
        *,
        reads: bool,
        max_age_s: int | None,
    ) -> Meant:
        """What is known of nearly the same request; its vector is a call of the caller's own."""
        assert self.vector_of is not None, "a process that serves calls has one"
        began, made = time.perf_counter(), Meant("miss", self.generation)
        vector = await self.vector_of(caller, split.text, call_id, held)
        made.call_id, made.vector = vector.call_id, vector.packed
        if not vector.packed:
            made.told = vector.reason
        else:
            beside = route.encode(), self.model.encode(), split.digest
            made.scope = Entries.scope_of(caller, semantic, *beside)
            least = self._least if semantic.threshold is None else semantic.threshold
            try:
                near = reads and await self.entries.nearest(
                    caller, made.scope, made.vector, least, max_age_s
                )
            except psycopg.Error:
                made.told, near = "unavailable", None
            if near:
                made.told, made.reply, made.similarity = "hit", near.reply, near.similarity
        self.seconds += time.perf_counter() - began
        return made

    async def keep(self, caller: Caller, made: Meant, reply: CachedReply, ttl_s: float) -> None:
        """Keep an answer by its request's vector, unless all was forgotten meanwhile."""
        if not made.vector or made.reply is not None or made.generation != self.generation:
            return
        try:
            self.kept += await self.entries.keep(caller, made.scope, made.vector, reply, ttl_s)
        except psycopg.Error:
            self.results["not_kept"] += 1

    async def clear(self) -> int:
        """Forget all; how many they were."""
        self.generation += 1
        return await self.entries.clear()
