"""The order in which the offers of a call are tried.

It is made of three things: what the operator decided (`Policy`), what the caller wants (`Wishes`),
and how each offer has been doing (`OfferHealth`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from domain.routing.health import OfferHealth


class Sort(StrEnum):
    """How offers of one model are ordered."""

    ORDERED = "ordered"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    LEAST_BUSY = "least_busy"
    LOWEST_LATENCY = "lowest_latency"
    WEIGHTED = "weighted"
    STICKY = "sticky"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decided for a model, or for all.

    `order` names providers that come first, `weights` are shares by provider (1 when absent).
    With `hedge_after_ms` the next offer is tried as well when the first is silent for so long.
    """

    sort: Sort = Sort.ORDERED
    order: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    hedge_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller wants of the routing (OpenRouter's `provider` object).

    `order` names providers that come first; without `allow_fallbacks` no others are tried.
    `max_input` and `max_output` are USD per million tokens.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    sort: Sort | None = None
    max_input: Decimal | None = None
    max_output: Decimal | None = None


class Choice(NamedTuple):
    """An offer as the routing sees it: its provider, price for ordering, and prices in USD."""

    provider: str
    price_rank: int
    input_per_million: Decimal
    output_per_million: Decimal
    health: OfferHealth


def allowed(choice: Choice, wishes: Wishes) -> bool:
    """Whether the caller's wishes admit the offer at all."""
    return not (
        choice.provider in wishes.ignore
        or (wishes.only and choice.provider not in wishes.only)
        or (wishes.order and not wishes.allow_fallbacks and choice.provider not in wishes.order)
        or (wishes.max_input is not None and choice.input_per_million > wishes.max_input)
        or (wishes.max_output is not None and choice.output_per_million > wishes.max_output)
    )


def arrange(
    choices: Sequence[Choice],
    policy: Policy,
    wishes: Wishes,
    *,
    now_ms: int,
    dice: int,
    caller: str,
) -> list[int]:
    """Indexes of the offers in the order in which they are tried.

    `dice` is a random number of 64 bits, `caller` what `sticky` sticks to.
    """
    named = wishes.order or policy.order
    sort = wishes.sort or policy.sort
    if sort is Sort.LOWEST_LATENCY:
        key = _of_two(choices, wishes, dice, now_ms)
    else:
        key = _sort_key(sort, policy, dice, caller)
    found = [
        (
            choice.health.standing(now_ms),
            named.index(choice.provider) if choice.provider in named else len(named),
            key(choice),
            index,
        )
        for index, choice in enumerate(choices)
        if allowed(choice, wishes)
    ]
    return [index for *_, index in sorted(found)]


def _sort_key(sort: Sort, policy: Policy, dice: int, caller: str) -> Callable[[Choice], int]:
    if sort is Sort.CHEAPEST:
        return lambda choice: choice.price_rank
    if sort is Sort.FASTEST:
        # One that was never tried is tried first: nothing else would tell how fast it is.
        return lambda choice: choice.health.latency_ms or 0
    if sort is Sort.LEAST_BUSY:
        return lambda choice: choice.health.waiting
    if sort is Sort.WEIGHTED:
        return lambda choice: _draw(policy.weights.get(choice.provider, 1), choice.provider, dice)
    if sort is Sort.STICKY:
        return lambda choice: _hash(f"{caller}/{choice.provider}")
    return lambda _: 0


def _of_two(
    choices: Sequence[Choice], wishes: Wishes, dice: int, now_ms: int
) -> Callable[[Choice], int]:
    """The less loaded of two drawn at random, then the other, then the rest as they were drawn.

    So that not all calls of a moment go where it was quickest a moment ago (Mitzenmacher, The
    Power of Two Choices in Randomized Load Balancing, 2001).
    """
    drawn = sorted(
        (each for each in choices if allowed(each, wishes)),
        key=lambda each: (each.health.standing(now_ms), _hash(f"{dice}/{each.provider}")),
    )
    pair = sorted(drawn[:2], key=lambda each: (each.health.standing(now_ms), each.health.load))
    places = {id(each): place for place, each in enumerate((*pair, *drawn[2:]))}
    return lambda choice: places[id(choice)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


WEIGHT_MAX = 100
"""Weights count up to here."""


def _draw(weight: int, provider: str, dice: int) -> int:
    """A number that is the smallest of all with a chance in proportion to the weight.

    Each provider has as many tickets as its weight, and the smallest number of all wins.
    """
    if weight <= 0:
        return 1 << 64
    return min(_hash(f"{dice}/{provider}/{ticket}") for ticket in range(min(weight, WEIGHT_MAX)))
