"""What a moderation's verdict means to a guard: flagged or not, or no verdict at all.

Source of the shape: OpenAI's OpenAPI document, version 2.3.0, "CreateModerationResponse". Scores
are from 0 to 1 there; whoever answers anything else is not believed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping

THRESHOLDS_MAX = 50
CATEGORY_CHARACTERS_MAX = 100
CERTAIN = Decimal(1)


class VerdictError(DomainError):
    """A verdict that cannot be, or does not say what it is asked for; the message says why."""


class ThresholdError(DomainError):
    """A threshold that cannot be meant; the message says why."""


class Verdict(NamedTuple):
    """What a model says of one text. `flagged` is None where it does not say it in words."""

    categories: Mapping[str, bool | None]
    scores: Mapping[str, Decimal | None]
    flagged: bool | None = None


def checked_thresholds(given: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Scores by category from which on a text is blocked; raises ThresholdError."""
    if len(given) > THRESHOLDS_MAX:
        message = f"more than {THRESHOLDS_MAX} categories"
        raise ThresholdError(message)
    for name, score in given.items():
        if not 0 < len(name) <= CATEGORY_CHARACTERS_MAX:
            message = f"the name of a category has 1 to {CATEGORY_CHARACTERS_MAX} characters"
            raise ThresholdError(message)
        if not (score.is_finite() and 0 < score <= CERTAIN):
            message = f"{name}: {score} is not above 0 and at most 1"
            raise ThresholdError(message)
    return dict(given)


def flags(verdict: Verdict, thresholds: Mapping[str, Decimal]) -> bool:
    """Whether the text is to be blocked; raises VerdictError.

    With thresholds each of their categories must have a score, and those alone count. Without any,
    the model's own `flagged` does, or else any category that it says is so.
    """
    for name, score in verdict.scores.items():
        if score is not None and not (score.is_finite() and 0 <= score <= CERTAIN):
            message = f"the score of {name[:CATEGORY_CHARACTERS_MAX]!r} is not from 0 to 1"
            raise VerdictError(message)
    if thresholds:
        return any(_score(verdict, name) >= least for name, least in thresholds.items())
    if verdict.flagged is not None:
        return verdict.flagged
    if not verdict.categories:
        message = "it names no category, and does not say whether the text is flagged"
        raise VerdictError(message)
    return any(verdict.categories.values())


def _score(verdict: Verdict, name: str) -> Decimal:
    score = verdict.scores.get(name)
    if score is None:
        message = f"it has no score for {name!r}"
        raise VerdictError(message)
    return score
