"""What the analytical projections read from the end of a call, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.ledger import HoldResolved, HoldSettled

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_ACTOR = "api_key:"
UNKNOWN = ""
HOUR_CHARACTERS = len("2026-01-01T00")
MINUTE_CHARACTERS = len("2026-01-01T00:00")
DAY_CHARACTERS = len("2026-01-01")
COUNTED_TOKENS_MAX = 1_000_000_000
"""Most tokens of one call that a ranking or a counter believes: nine million such calls in a
window stay exact in a double (below 2^53)."""


class CallFacts(NamedTuple):
    """A call that ended: who, where, how long (milliseconds), and how many tokens."""

    key_id: str
    provider: str
    model: str
    settled: bool
    charged: int
    cost: int
    """What it cost the house at providers, nano-USD, by the rule of the books."""
    own_key: str
    """The id of the customer's own provider key that answered; empty for the house's."""
    own_key_cost: int
    """What the owners of such keys paid to their providers for it, nano-USD."""
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    duration_ms: int | None
    first_output_ms: int | None


def facts_of(event: HoldResolved) -> CallFacts:
    """The facts of a settled, voided or expired call; what an event lacks is nought or unknown.

    Several projections ask for those of the same event, through `Worked.once`.
    """
    last: Mapping[str, Any] = event.attempts[-1] if event.attempts else {}
    settled = isinstance(event, HoldSettled)
    usage: Mapping[str, Any] = event.usage if isinstance(event, HoldSettled) else {}
    own_key_cost = sum(_amount(each, "own_key_cost_nano_usd") for each in event.attempts)
    return CallFacts(
        key_id_of(event.actor),
        event.provider if isinstance(event, HoldSettled) else last.get("provider", UNKNOWN),
        event.model if isinstance(event, HoldSettled) else last.get("model", UNKNOWN),
        settled,
        event.settled_nano_usd,
        _house_cost(event),
        last.get("own_key", UNKNOWN),
        own_key_cost,
        usage.get("input_tokens", 0),
        usage.get("output_tokens", 0),
        usage.get("cached_input_tokens", 0),
        usage.get("reasoning_tokens", 0),
        last.get("duration_ms"),
        last.get("first_output_ms"),
    )


def _house_cost(event: HoldResolved) -> int:
    """What the attempts cost the house; of old events, which do not say so, the call's cost.

    An answer of the cache cost nothing, and neither did one with a customer's own key.
    """
    if any("cost_nano_usd" in each for each in event.attempts):
        return sum(_amount(each, "cost_nano_usd") for each in event.attempts)
    if not isinstance(event, HoldSettled) or event.cached_from:
        return 0
    return event.cost_nano_usd


def _amount(attempt: Mapping[str, Any], name: str) -> int:
    """An amount above 0 of an attempt, else 0."""
    amount = attempt.get(name)
    return amount if isinstance(amount, int) and amount > 0 else 0


def counted_tokens(event: HoldSettled) -> int:
    """What a call adds to a counter of tokens, which may be one of Redis's doubles."""
    usage = event.usage
    tokens: int = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    return min(max(tokens, 0), COUNTED_TOKENS_MAX)


def key_id_of(actor: str) -> str:
    """Id of the API key that acted; empty when it was no key."""
    return actor[len(KEY_ACTOR) :] if actor.startswith(KEY_ACTOR) else UNKNOWN


def hour_of(instant: str) -> str:
    """The hour of an ISO 8601 instant in UTC."""
    return instant[:HOUR_CHARACTERS] + ":00:00Z"


def minute_of(instant: str) -> str:
    """The minute of an ISO 8601 instant in UTC."""
    return instant[:MINUTE_CHARACTERS] + ":00Z"


def day_of(instant: str) -> str:
    """The day of an ISO 8601 instant in UTC."""
    return instant[:DAY_CHARACTERS]
