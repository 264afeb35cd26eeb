"""Errors of the store.

EventStoreError
├── EmbeddedPostgresError      the embedded server cannot run here; the message names the cure
├── EntryRefusedError          the database cannot take this one entry, now or ever
├── LedgerUnavailableError     the database cannot be reached now; nothing was decided
└── QueueFullError             too many entries are waiting for the database
"""

from __future__ import annotations


class EventStoreError(RuntimeError):
    """Base of the store's errors."""


class EmbeddedPostgresError(EventStoreError):
    """The embedded PostgreSQL cannot be started; the message says what to do."""


class EntryRefusedError(EventStoreError):
    """The entry itself is at fault, and nothing of it stands; sending it again is no use."""


class LedgerUnavailableError(EventStoreError):
    """The ledger cannot be reached, so the outcome of the entry is not known to have failed."""


class QueueFullError(LedgerUnavailableError):
    """The committer's queue is at its named maximum."""
