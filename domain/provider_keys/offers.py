"""Which offers a call may try where its caller has keys of their own, and in which order.

Where own keys serve a model at all, they alone are asked: nobody's credits pay for what the
customer's own contract was to pay. Where one of those keys allows it, the house's offers follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.provider_keys.secrets import OwnKey


class Tried(NamedTuple):
    """One try: the place of its offer, and the own key it is asked with; None for the house's."""

    place: int
    own: OwnKey | None


def tries_of(providers: Sequence[str], own: Sequence[OwnKey]) -> list[Tried]:
    """The tries for offers of these providers, own keys first; each in the order of the offers."""
    by_provider = {each.provider: each for each in own}
    found = [
        Tried(place, by_provider[name])
        for place, name in enumerate(providers)
        if name in by_provider
    ]
    if not found or any(each.own is not None and each.own.fallback for each in found):
        found += [Tried(place, None) for place in range(len(providers))]
    return found
