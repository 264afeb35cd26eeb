"""Events of a batch, each a stream of its own; what its lines say stands in none of them."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class BatchEvent(Event):
    """A fact of one batch of an account."""

    CATEGORY = "batch"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class BatchCreated(BatchEvent):
    """A file of requests is to be run by the key, each a call of `endpoint`, until `expires_at`.

    `price_percent` is what of each call's price the lines pay, in percent.
    """

    TOPIC = "batch.created.v1"

    user_id: str
    key_id: str
    endpoint: str
    input_file_id: str
    expires_at: str
    price_percent: int


@dataclass(frozen=True, kw_only=True)
class BatchStarted(BatchEvent):
    """All of its requests are in order, and begin to be called."""

    TOPIC = "batch.started.v1"

    requests: int


@dataclass(frozen=True, kw_only=True)
class BatchCancelled(BatchEvent):
    """Its owner wants no more of its requests to be called; those under way end."""

    TOPIC = "batch.cancelled.v1"


@dataclass(frozen=True, kw_only=True)
class BatchEnded(BatchEvent):
    """Nothing of it runs any more: `completed`, `failed` (none was called), `expired`, `cancelled`.

    `completed` and `failed` count its requests.
    """

    TOPIC = "batch.ended.v1"

    status: str
    completed: int
    failed: int
