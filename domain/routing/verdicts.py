"""What a failed try means for the next step, and for the health of the offer."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a failed try means for the next step and for the offer's health."""

    PROVIDER = "provider"
    """The provider's fault: try the next, count it."""
    LIMITED = "limited"
    """Too many requests: try the next, leave this one alone."""
    SKIPPED = "skipped"
    """This provider cannot do it: try the next, nobody's fault."""
    CALLER = "caller"
    """The request is wrong: no other provider would take it."""


FAULTS_OF_CALLERS = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
TOO_MANY_REQUESTS = 429
CONFLICT = 409


def verdict_of(status: int | None) -> Verdict:
    """The verdict on a failure with this status; None is one without (broken, silent, away).

    Fails over on 401, 402, 403, 404, 408, 409, 429 and 5xx. A 409 says nothing of health.
    """
    if status in FAULTS_OF_CALLERS:
        return Verdict.CALLER
    if status == TOO_MANY_REQUESTS:
        return Verdict.LIMITED
    return Verdict.SKIPPED if status == CONFLICT else Verdict.PROVIDER
