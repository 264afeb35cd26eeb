"""The counters that all gateways share, in Redis: one round trip decides for all scopes.

What is corrected afterwards (tokens that were not used, calls that ended) goes out in one command
with the next turn of the event loop, and always before the next request is decided: who waits for
his reply and then asks again finds his own call ended.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from command_api.limit_counters.bound import Outcome
from command_api.limit_counters.scripts import ADMIT, CARRY, PREFIX, SCRIPTS, SETTLE
from domain.limits.windows import CONCURRENCY
from providers.redis.pipe import RedisAwayError, RedisPipe
from providers.redis.replies import RedisReplyError, command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from command_api.limit_counters.bound import Bound
    from command_api.limit_counters.scripts import Script
    from domain.limits.windows import Asked

    Ask = Callable[[bytes], asyncio.Future[Any]]

logger = logging.getLogger("gatewayz.limits")

CORRECTIONS_MAX = 10_000
"""Most corrections that wait; more are left out, and what they free is freed by time."""
AT_ONCE = 200
"""Most of them in one command: Redis does nothing else meanwhile."""

Correction = tuple[str, int, "int | bytes", int]
"""A key, a gauge, a bucket (of calls under way: the call), and what is added."""


def script_command(
    script: Script, keys: Sequence[str], values: Sequence[bytes | str | int]
) -> bytes:
    """A call of a script that was loaded."""
    return command("EVALSHA", script.sha, len(keys), *keys, *values)


def batch(script: Script, items: Sequence[Correction]) -> bytes:
    """A call of a script that takes a list of corrections."""
    keys = {item[0]: 0 for item in items}
    for place, key in enumerate(keys):
        keys[key] = place + 1
    values = [part for key, *rest in items for part in (keys[key], *rest)]
    return script_command(script, list(keys), values)


def counts_of(name: str) -> str:
    """The key of a scope's windows and burst."""
    return f"{PREFIX}c:{name}"


def calls_of(name: str) -> str:
    """The key of a scope's calls under way."""
    return f"{PREFIX}l:{name}"


class SharedCounters:
    """The counters as one process reaches them."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """Nothing is connected yet."""
        load = [command("SCRIPT", "LOAD", each.source) for each in SCRIPTS]
        self.pipe = RedisPipe(url, timeout_s=timeout_s, greeting=lambda: load)
        self.blank = asyncio.Event()
        """Set when Redis counts since a moment ago, and nobody told it what the log says."""
        self._corrections: list[Correction] = []

    async def admit(self, bound: Bound, asked: Asked, lease: bytes) -> Outcome:
        """Decide and count. Raises RedisAwayError: then nobody knows whether it was counted."""
        if self._corrections:
            self.flush()
        last = b"$%d\r\n%d\r\n$%d\r\n%d\r\n$%d\r\n%b\r\n" % (
            len(str(asked.requests)),
            asked.requests,
            len(str(asked.tokens)),
            asked.tokens,
            len(lease),
            lease,
        )
        parts, constant = bound.shared
        try:
            raw = await self.pipe.ask(
                b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n%b%b" % (parts, ADMIT.sha, constant, last)
            )
        except RedisReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise self._refused(error) from None
            self.load()
            source = ADMIT.source
            whole = b"*%d\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n%b%b"
            try:
                raw = await self.pipe.ask(whole % (parts, len(source), source, constant, last))
            except RedisReplyError as again:
                raise self._refused(again) from None
        return self._read(raw, len(bound.gauges))

    def _read(self, raw: Any, gauges: int) -> Outcome:
        try:
            admitted, now, wait, scope, gauge, since, *used = raw.split()
            if len(used) != gauges or since[-2:-1] != b":":
                raise ValueError
            if since.endswith(b"0"):
                self.blank.set()
            refusing = (int(scope), int(gauge))
            return Outcome(admitted == b"1", int(now), int(wait), refusing, [*map(int, used)])
        except (ValueError, AttributeError):
            self.pipe.hang_up("it answers what no script of ours says")
            raise RedisAwayError from None

    def _refused(self, error: RedisReplyError) -> RedisAwayError:
        """Redis is there and does not do it: out of memory, read-only, another cluster's slot."""
        self.pipe.hang_up(str(error))
        return RedisAwayError(str(error))

    def correct(self, items: Sequence[Correction]) -> None:
        """Correct what was counted, soon."""
        if not self.pipe.ready or len(self._corrections) + len(items) > CORRECTIONS_MAX:
            return
        if not self._corrections:
            asyncio.get_running_loop().call_soon(self.flush)
        self._corrections += items

    def renew(self, items: Sequence[Correction]) -> None:
        """Send these at once, for as long as commands are taken."""
        for begin in range(0, len(items), AT_ONCE):
            self._send(batch(SETTLE, items[begin : begin + AT_ONCE]))

    def flush(self) -> None:
        """Send the corrections that wait; nobody waits for the answers."""
        waiting, self._corrections = self._corrections, []
        self.renew(waiting)

    def load(self) -> None:
        """Tell Redis the scripts: somebody may have emptied its list of them."""
        for each in SCRIPTS:
            self._send(command("SCRIPT", "LOAD", each.source))

    def _send(self, raw: bytes) -> None:
        try:
            self.pipe.ask(raw).add_done_callback(self._sent)
        except RedisAwayError:
            return

    def _sent(self, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if not isinstance(error, RedisReplyError):
            return
        if str(error).startswith("NOSCRIPT"):
            self.load()  # What this one corrected is freed by time.
        else:
            self.pipe.hang_up(str(error))


async def carry(ask: Ask, items: Sequence[Correction]) -> None:
    """Add what was admitted elsewhere: of each item the third is its age in milliseconds."""
    for begin in range(0, len(items), AT_ONCE):
        await ask(batch(CARRY, items[begin : begin + AT_ONCE]))


def leases(names: Sequence[str], lease: bytes, life_ms: int) -> list[Correction]:
    """A call under way in each of its scopes for so long from now; 0 ends it."""
    return [(calls_of(name), CONCURRENCY, lease, life_ms) for name in names]
