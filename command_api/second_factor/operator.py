"""Taking a user's second factors away, for who lost them all: the operator's command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError

from domain.errors import InvalidCommandError
from domain.events.second_factors import SecondFactorsReset
from domain.identity.roles import REASON_CHARACTERS_MAX
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.postgres.database import Database

TRIES_MAX = 5


def reset_second_factors(database: Database, user_id: UUID, *, actor: str, reason: str) -> None:
    """Authenticator, recovery codes and passkeys open nothing any more; the audit says why.

    Raises InvalidCommandError without a reason, and where others write to the user at the moment.
    """
    said = reason.strip()
    if not said or len(said) > REASON_CHARACTERS_MAX:
        message = f"a reason is needed, of at most {REASON_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    aggregates = Aggregates(database)
    try:
        for _ in range(TRIES_MAX):
            event = SecondFactorsReset(
                originator_id=user_id,
                originator_version=len(aggregates.events_of(user_id)) + 1,
                **new_envelope(actor),
                reason=said,
            )
            try:
                aggregates.append([event])
            except IntegrityError:
                continue
            return
    finally:
        aggregates.close()
    message = "somebody else writes to this user at the moment: try again"
    raise InvalidCommandError(message)
