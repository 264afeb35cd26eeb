"""Old event types brought to their present form, one pure step each.

A stored event is never rewritten (P5); it is read through these steps. Each step takes the
state of the old version and returns that of the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.events.ledger import hex_to_base64
from domain.ledger.lots import PRIORITY, GrantKind

if TYPE_CHECKING:
    from collections.abc import Callable

State = dict[str, Any]


def credits_granted_v1_to_v2(state: State) -> State:
    """Version 1 named only the kind of a grant; its burn-down priority followed from it."""
    return {**state, "priority": PRIORITY[GrantKind(state["kind"])]}


def hold_refused_v1_to_v2(state: State) -> State:
    """Version 1 had all that was asked for; of that, version 2 has what the key needs."""
    kept = {name: state[name] for name in HOLD_REFUSED_KEPT if name in state}
    return {
        **kept,
        "key_hash": hex_to_base64(state["idempotency"]["key_hash"]),
        "digest": hex_to_base64(state["idempotency"]["digest"]),
    }


HOLD_REFUSED_KEPT = (
    *("id", "effective_at", "actor", "correlation_id", "causation_id", "account_id"),
    *("provider", "model", "amount_nano_usd", "available_nano_usd"),
)
UPCASTERS: dict[str, tuple[str, Callable[[State], State]]] = {
    "ledger.credits_granted.v1": ("ledger.credits_granted.v2", credits_granted_v1_to_v2),
    "ledger.hold_refused.v1": ("ledger.hold_refused.v2", hold_refused_v1_to_v2),
}
"""Old type → (next type, step)."""


def upcast(topic: str, state: State) -> tuple[str, State]:
    """Apply steps until the type is a present one."""
    while topic in UPCASTERS:
        topic, step = UPCASTERS[topic]
        state = step(state)
    return topic, state


def older_topics(topic: str) -> list[str]:
    """The types that `upcast` turns into this one, directly or by further steps."""
    return [old for old in UPCASTERS if upcast_topic(old) == topic]


def upcast_topic(topic: str) -> str:
    """The present type of an old one."""
    while topic in UPCASTERS:
        topic = UPCASTERS[topic][0]
    return topic
