"""What failed tries mean."""

from __future__ import annotations

import pytest

from domain.routing.verdicts import Verdict, verdict_of

VERDICTS = [
    *((status, Verdict.CALLER) for status in (400, 413, 422)),
    (429, Verdict.LIMITED),
    (409, Verdict.SKIPPED),
    *((status, Verdict.PROVIDER) for status in (None, 200, 401, 402, 403, 404, 408, 500, 503, 529)),
]


@pytest.mark.parametrize(("status", "verdict"), VERDICTS)
def test_verdicts(status: int | None, verdict: Verdict) -> None:
    """What fails over, and what is held against the provider (rule: routing)."""
    assert verdict_of(status) is verdict
