"""Errors of the store.

EventStoreError
├── DatabaseUrlError           the URL of the database cannot be read; the message never quotes it
├── EmbeddedPostgresError      the embedded server cannot run here; the message names the cure
├── EntryRefusedError          the database cannot take this one entry, now or ever
├── NoLedgerError              there is no ledger where one was to be read; nothing was made
├── OutdatedLedgerError        the ledger's tables are of an older version than this program
├── LedgerUnavailableError     the database cannot be reached now; nothing was decided
├── MigrationRefusedError      the login of the migrations may not create what they make
└── QueueFullError             too many entries are waiting for the database
"""

from __future__ import annotations


class EventStoreError(RuntimeError):
    """Base of the store's errors."""


class DatabaseUrlError(EventStoreError):
    """The URL of the database is none; the message does not quote it, as it has a password."""


class EmbeddedPostgresError(EventStoreError):
    """The embedded PostgreSQL cannot be started; the message says what to do."""


class EntryRefusedError(EventStoreError):
    """The entry itself is at fault, and nothing of it stands; sending it again is no use."""


class NoLedgerError(EventStoreError):
    """Somebody wants to read a ledger where there is none; the message says what to do."""

    def __init__(self, where: str) -> None:
        """`where` is the folder or the database that was looked at."""
        super().__init__(
            f"no ledger here: {where} holds none. Name the right home with --home or "
            f"GATEWAYZ_HOME, or the database with GATEWAYZ_DATABASE_URL; `gatewayz up` makes a "
            f"new one"
        )


class OutdatedLedgerError(EventStoreError):
    """The ledger lacks migrations or projections of this version; reading makes none."""

    def __init__(self, missing: str) -> None:
        """`missing` is the first that lacks."""
        super().__init__(
            f"this ledger is of an older version, it lacks {missing}: run `gatewayz migrate` first"
        )


class MigrationRefusedError(EventStoreError):
    """The login may not migrate; the message says which one would."""


class LedgerUnavailableError(EventStoreError):
    """The ledger cannot be reached, so the outcome of the entry is not known to have failed."""


class QueueFullError(LedgerUnavailableError):
    """The committer's queue is at its named maximum."""
