"""Idempotency keys: what a known one answers, and which are forgotten (money rule 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import HoldPlaced, HoldRefused
from domain.ledger.holds import HoldState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from domain.events.base import Event

    Known = tuple[str, str, HoldState]
    """The digest of a key's input, its call, and the state of the call's hold."""

CALL_EXISTS = "call_exists"
KEY_REUSED = "idempotency_key_reused"
KEY_IN_PROGRESS = "idempotency_in_progress"
KEY_SETTLED = "idempotency_settled"
KEY_REFUSED = "idempotency_refused"

_ANSWERS = {
    HoldState.HELD: KEY_IN_PROGRESS,
    HoldState.SETTLED: KEY_SETTLED,
    HoldState.REFUSED: KEY_REFUSED,
}


def answer_of_key(known: Known, digest: str, call_id: str) -> str | None:
    """Why a hold is not placed under a known key; None for a further attempt of its own call."""
    known_digest, known_call, state = known
    if digest != known_digest:
        return KEY_REUSED
    return _ANSWERS.get(state) or (None if call_id == known_call else CALL_EXISTS)


def named_key(key_hash: str, digest: str, *, asks_again: bool) -> dict[str, str]:
    """A hold's key; whoever `asks_again` when refused for funds does not leave it refused."""
    return {"key_hash": key_hash, "digest": digest, **({"refusal": "open"} if asks_again else {})}


def key_of(event: Event) -> tuple[str, str] | None:
    """Hash and digest of the key that a hold was asked for under by this event, in hex."""
    return event.key if isinstance(event, HoldPlaced | HoldRefused) else None


def without_old_keys(
    known: Mapping[str, Known], log: Iterable[Event], old: Container[str]
) -> dict[str, Known]:
    """The keys by hash, without those that an old event, by its id, was the last to ask for.

    A key of an open hold is never forgotten.
    """
    asked = {key[0]: event.id for event in log if (key := key_of(event))}
    return {
        key: each
        for key, each in known.items()
        if asked[key] not in old or each[2] is HoldState.HELD
    }
