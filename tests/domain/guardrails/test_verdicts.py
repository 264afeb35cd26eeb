"""What a verdict means, and which are none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.guardrails.verdicts import (
    THRESHOLDS_MAX,
    ThresholdError,
    Verdict,
    VerdictError,
    checked_thresholds,
    flags,
)

HALF = {"violence": Decimal("0.5")}


def of(score: str | None = "0.1", *, said: bool | None = None, **categories: bool) -> Verdict:
    """A verdict with one score."""
    return Verdict(categories, {"violence": None if score is None else Decimal(score)}, said)


@pytest.mark.parametrize(
    ("verdict", "thresholds", "flagged"),
    [
        (of("0.5"), HALF, True),
        (of("0.499"), HALF, False),
        (of("0.1", said=True), HALF, False),
        (of("1", said=False), HALF, True),
        (of("1", said=False), {}, False),
        (of("0", said=True), {}, True),
        (of(violence=True), {}, True),
        (of(violence=False), {}, False),
        (of(None, said=True), {}, True),
    ],
)
def test_thresholds_count_alone_where_there_are_any(
    verdict: Verdict, thresholds: Any, *, flagged: bool
) -> None:
    """Else what the model says, in whichever form (rule: contract)."""
    assert flags(verdict, thresholds) is flagged


@pytest.mark.parametrize("score", ["NaN", "sNaN", "Infinity", "-Infinity", "-0.1", "1.1", "1e18"])
def test_a_score_that_cannot_be_is_no_verdict(score: str) -> None:
    """Whether anybody asked for it or not (rule: bounded)."""
    for thresholds in (HALF, {}):
        with pytest.raises(VerdictError, match="not from 0 to 1"):
            flags(of(score, said=False), thresholds)


def test_what_is_not_said_is_no_verdict() -> None:
    """A missing score is not a low one (P10)."""
    for verdict in (of(None), Verdict({}, {}, flagged=False)):
        with pytest.raises(VerdictError, match="no score for 'violence'"):
            flags(verdict, HALF)
    with pytest.raises(VerdictError, match="names no category"):
        flags(Verdict({}, {}), {})


@pytest.mark.parametrize("score", ["0", "-1", "1.01", "NaN", "Infinity"])
def test_thresholds_are_scores(score: str) -> None:
    """From which on something is blocked: 0 would block all (rule: refuse clearly)."""
    assert checked_thresholds(HALF) == HALF
    with pytest.raises(ThresholdError, match="violence"):
        checked_thresholds({"violence": Decimal(score)})


def test_there_is_a_most_of_thresholds() -> None:
    """And a name has a length (rule: bounded)."""
    with pytest.raises(ThresholdError, match="more than"):
        checked_thresholds({str(at): Decimal(1) for at in range(THRESHOLDS_MAX + 1)})
    for name in ("", "x" * 101):
        with pytest.raises(ThresholdError, match="characters"):
            checked_thresholds({name: Decimal(1)})
