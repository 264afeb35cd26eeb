"""How many requests a key may give: never one that it has not itself.

A key's `max_requests` is a quota of requests in all. A key that has one gives out of what it has
left, and loses what it gives, so that all keys it makes may together do no more than it could. What
it takes from others it does not get. A key with any other quota of its own makes no keys: what
binds it would not bind them.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.identity.api_keys import BeyondOwnLimitsError


class Holding(NamedTuple):
    """What quotas allow a key: requests in all, and how many of them it has left."""

    limit: int | None = None
    """None where they are not limited."""
    left: int = 0
    otherwise: bool = False
    """Whether it has quotas of other units or windows."""

    @property
    def bound(self) -> bool:
        """Whether any quota of its own binds it."""
        return self.limit is not None or self.otherwise


NOTHING = Holding(limit=0)
"""What a key has that is not made yet."""


def cost_of_giving(asking: Holding, given: Holding, wanted: int | None) -> int:
    """So many requests the key that asks loses, when another key's limit becomes `wanted`.

    None lifts the limit. Raises BeyondOwnLimitsError for more than it has left.
    """
    if not asking.bound:
        return 0
    if given == NOTHING and asking.otherwise:
        message = "a key with quotas of its own makes no others: use one without"
        raise BeyondOwnLimitsError(message)
    if wanted is None:
        message = "a key with max_requests gives none without: name max_requests"
        raise BeyondOwnLimitsError(message)
    more = 0 if given.limit is None else max(wanted - given.limit, 0)
    if asking.limit is not None and more > asking.left:
        message = f"a key gives no more than it has: this one has {asking.left} requests left"
        raise BeyondOwnLimitsError(message)
    return 0 if asking.limit is None else more


def check_own(own: Holding, wanted: int | None) -> None:
    """Raise BeyondOwnLimitsError where a key would raise its own limit, or lift it."""
    if own.limit is not None and (wanted is None or wanted > own.limit):
        message = f"a key does not raise its own max_requests, which is {own.limit}: use another"
        raise BeyondOwnLimitsError(message)


def check_ceiling(ceiling: int | None, wanted: int | None) -> None:
    """Raise BeyondOwnLimitsError for more than the operator set."""
    if ceiling is not None and (wanted is None or wanted > ceiling):
        message = f"whoever runs the gateway set max_requests of this key to {ceiling} at most"
        raise BeyondOwnLimitsError(message)


def check_writes_others(asking: Holding) -> None:
    """Raise BeyondOwnLimitsError where a key with quotas writes another one anew, and learns it."""
    if asking.bound:
        message = "a key with quotas of its own writes no other key anew: use one without"
        raise BeyondOwnLimitsError(message)
