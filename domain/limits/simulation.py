"""Past calls held against other limits: which of them would have been refused.

The windows are those that admit calls, so what was admitted under the same limits, in the same
order and at the same instants, is admitted here. A call that is refused counts for nothing, neither
when it begins nor when it ends. What is remembered is forgotten once it lies in no window any more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidCommandError
from domain.limits.rates import SYSTEM_ID, LimitScope
from domain.limits.windows import BURST, DAY, REQUESTS, Asked, Counters, admit, window_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.limits.rates import RateLimits

    Place = tuple[LimitScope, str]
    """A scope, and whose it is."""

EVERY = "*"
"""Instead of an id: each key, user or organisation of its own."""
SCOPES_MAX = 1_000_000
"""Most keys and users that are counted at once."""
CALLS_MAX = 1_000_000
"""Most calls that are under way at once."""
FOREVER = 2**62
MEMORY = DAY.span + DAY.bucket
"""So long a scope is remembered that nobody calls for, milliseconds."""


class Began(NamedTuple):
    """A call as its hold has it: the most tokens that it can use."""

    call_id: bytes
    key_id: str
    user_id: str
    tokens: int
    organisation_id: str = ""
    """Empty for a call with a user's own key."""


class Refused(NamedTuple):
    """Whose limit would have refused a call, which of its limits, and what that is."""

    scope: LimitScope
    scope_id: str
    gauge: int
    limit: int


class _Open(NamedTuple):
    places: tuple[Place, ...]
    tokens: int
    at: int


class Simulation:
    """One run; instants are milliseconds and should not go back."""

    def __init__(
        self,
        limits: Mapping[Place, RateLimits],
        *,
        scopes_max: int = SCOPES_MAX,
        calls_max: int = CALLS_MAX,
    ) -> None:
        """`limits` by scope and id; EVERY is for those that are not named."""
        self._limits, self._scopes_max, self._calls_max = limits, scopes_max, calls_max
        self._scopes: OrderedDict[Place, tuple[Counters, int]] = OrderedDict()
        """With when each was called for last, the one that was not for longest first."""
        self._open: dict[bytes, _Open] = {}

    def begin(self, call: Began, now: int) -> Refused | None:
        """Admit a call, or say what refuses it.

        Raises InvalidCommandError for more scopes or calls at once than are counted.
        """
        self._forget(now)
        found = [
            (place, limits)
            for place in (
                (LimitScope.KEY, call.key_id),
                (LimitScope.USER, call.user_id),
                (LimitScope.ORGANISATION, call.organisation_id),
                (LimitScope.SYSTEM, SYSTEM_ID),
            )
            if place[1] and (limits := self._of(place)) is not None
        ]
        if not found:
            return None
        verdict = admit(
            [(limits, self._counters(place, now)) for place, limits in found],
            Asked(1, call.tokens),
            now=now,
            lease=call.call_id,
            lease_until=FOREVER,
        )
        if not verdict.admitted:
            index, gauge = verdict.refusing
            place, limits = found[index]
            limit = limits[gauge]
            assert limit is not None
            return Refused(*place, gauge, limit)
        if len(self._open) >= self._calls_max:
            message = (
                f"more than {self._calls_max} calls are under way at once: take a shorter time"
            )
            raise InvalidCommandError(message)
        self._open[call.call_id] = _Open(tuple(place for place, _ in found), call.tokens, now)
        return None

    def end(self, call_id: bytes, tokens: int | None, now: int) -> None:
        """A call used so many tokens (None: nobody knows, so all it could), if it was admitted."""
        known = self._open.pop(call_id, None)
        if known is None:
            return
        change = 0 if tokens is None else tokens - known.tokens
        for place in known.places:
            scope = self._scopes.get(place)
            if scope is None:
                continue
            counters = scope[0]
            counters.leases.pop(call_id, None)
            for gauge in range(REQUESTS, BURST):
                if gauge in counters.windows:
                    bucket = known.at // window_of(gauge).bucket
                    counters.window(gauge, now).add(bucket, change)

    def _of(self, place: Place) -> RateLimits | None:
        scope, _ = place
        return self._limits.get(place) or self._limits.get((scope, EVERY))

    def _counters(self, place: Place, now: int) -> Counters:
        known = self._scopes.get(place)
        if known is None and len(self._scopes) >= self._scopes_max:
            message = f"more than {self._scopes_max} keys and users call in a day: limit fewer"
            raise InvalidCommandError(message)
        counters = Counters() if known is None else known[0]
        self._scopes[place] = (counters, now)
        self._scopes.move_to_end(place)
        return counters

    def _forget(self, now: int) -> None:
        """The scopes of which nothing lies in a window any more, and no call is under way."""
        while self._scopes:
            place, (counters, at) = next(iter(self._scopes.items()))
            if at > now - MEMORY:
                return
            if counters.leases:
                self._scopes[place] = (counters, now)
                self._scopes.move_to_end(place)
            else:
                del self._scopes[place]
