"""The counters that all gateways share, in Redis: one round trip decides for all scopes.

What a call that ended did not use goes out with its caller's next request, or in a moment,
whichever comes first, and always before a request of the same scope is decided: who waits for his
reply and then asks again finds his own call ended.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.limit_counters.bound import Outcome
from command_api.limit_counters.scripts import ADMIT, CARRY, PREFIX, RENEW, SCRIPTS
from domain.limits.windows import Asked
from providers.redis.pipe import RedisAwayError, RedisPipe
from providers.redis.replies import RedisReplyError, command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from command_api.limit_counters.bound import Bound
    from command_api.limit_counters.scripts import Script

    Ask = Callable[[bytes], asyncio.Future[Any]]

logger = logging.getLogger("gatewayz.limits")

ENDINGS_MAX = 10_000
"""Most calls whose end waits to be told; more are left out, and what they free is freed by time."""
BOUNDS_MAX = 100
"""Most callers whose calls' ends wait; then all of them are told."""
AT_ONCE = 200
"""Most endings or corrections in one command: Redis does nothing else meanwhile."""
TOLD_AFTER_S = 0.002
"""How long the end of a call waits for its caller's next request, to be told with it, seconds."""
PEEK = Asked(0, 0)

Correction = tuple[str, int, int, int]
"""A key, a gauge, an age in milliseconds, and what is added."""
Renewal = tuple[str, bytes, int]
"""A key of calls under way, the call, and how long it still counts, milliseconds."""


class Ending(NamedTuple):
    """What is corrected as a call ends."""

    at: int
    """When it was admitted, by the shared counters' clock, milliseconds."""
    requests: int
    """-1 where it was none."""
    tokens: int
    """Less, or more, than it was admitted with."""
    lease: bytes


def script_command(
    script: Script, keys: Sequence[str], values: Sequence[bytes | str | int]
) -> bytes:
    """A call of a script that was loaded."""
    return command("EVALSHA", script.sha, len(keys), *keys, *values)


def batch(script: Script, items: Sequence[Correction] | Sequence[Renewal]) -> bytes:
    """A call of a script that takes a list of corrections, or of renewals."""
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
        self._ended: dict[Bound, list[Ending]] = {}
        self._waiting = 0
        self._timed = False

    async def admit(self, bound: Bound, asked: Asked, lease: bytes) -> Outcome:
        """Decide and count. Raises RedisAwayError: then nobody knows whether it was counted."""
        endings = self._ended_before(bound) if self._ended else ()
        parts, constant = bound.shared
        last = _last(endings, asked, lease)
        try:
            raw = await self.pipe.ask(_ADMIT_COMMAND % (parts, ADMIT.sha, constant, last))
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

    def ended(self, bound: Bound, ending: Ending) -> None:
        """Correct what was counted for a call, soon."""
        if not self.pipe.ready or self._waiting >= ENDINGS_MAX:
            return
        if not self._timed:
            self._timed = True
            asyncio.get_running_loop().call_later(TOLD_AFTER_S, self._timer)
        self._ended.setdefault(bound, []).append(ending)
        self._waiting += 1
        if len(self._ended) > BOUNDS_MAX:
            self.flush()

    def _timer(self) -> None:
        self._timed = False
        self.flush()

    def flush(self) -> None:
        """Tell of all calls that ended; nobody waits for the answers."""
        for bound in list(self._ended):
            self._tell(bound, keep=0)

    def _ended_before(self, bound: Bound) -> Sequence[Ending]:
        """A caller's calls that ended since, to be told with his request; others' go ahead of it.

        They do where they count for what he counts for.
        """
        for other in [each for each in self._ended if each is not bound]:
            if not bound.names.isdisjoint(other.names):
                self._tell(other, keep=0)
        return self._tell(bound, keep=AT_ONCE) if bound in self._ended else ()

    def _tell(self, bound: Bound, *, keep: int) -> Sequence[Ending]:
        """Send a caller's endings, but for the last so many, which are returned."""
        endings = self._ended.pop(bound)
        self._waiting -= len(endings)
        parts, constant = bound.shared
        while len(endings) > keep:
            some, endings = endings[:AT_ONCE], endings[AT_ONCE:]
            self._send(_ADMIT_COMMAND % (parts, ADMIT.sha, constant, _last(some, PEEK, b"")))
        return endings

    def renew(self, items: Sequence[Renewal]) -> None:
        """Say of calls under way that they live on."""
        for begin in range(0, len(items), AT_ONCE):
            self._send(batch(RENEW, items[begin : begin + AT_ONCE]))

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


_ADMIT_COMMAND = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n%b%b"


def _last(endings: Sequence[Ending], asked: Asked, lease: bytes) -> bytes:
    """The last parts of the command, which are another request's each time."""
    ended = b" ".join([b"%d %d %d %b" % (*each[:3], each.lease or b"-") for each in endings])
    requests, tokens = b"%d" % asked.requests, b"%d" % asked.tokens
    return b"$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
        len(ended),
        ended,
        len(requests),
        requests,
        len(tokens),
        tokens,
        len(lease),
        lease,
    )


async def carry(ask: Ask, items: Sequence[Correction]) -> None:
    """Add what was admitted elsewhere: of each item the third is its age in milliseconds."""
    for begin in range(0, len(items), AT_ONCE):
        await ask(batch(CARRY, items[begin : begin + AT_ONCE]))


def leases(names: Sequence[str], lease: bytes, life_ms: int) -> list[Renewal]:
    """A call under way in each of its scopes for so long from now."""
    return [(calls_of(name), lease, life_ms) for name in names]
