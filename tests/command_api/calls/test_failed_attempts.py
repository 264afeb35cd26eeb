"""A call that ends void leaves little in the log, and says why all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from command_api.calls.failed_attempts import (
    FIGURES_BYTES_MAX,
    VOID_BYTES_MAX,
    void_members,
)
from tests.support.harness import reply

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway, ScriptedUpstream


def attempt(error: str, model: str = "m") -> dict[str, Any]:
    """One that failed."""
    return {
        "provider": "local",
        "model": model,
        "status": 500,
        "started_at": "2026-01-01T00:00:00.000000Z",
        "duration_ms": 12,
        "cost_nano_usd": 0,
        "error": error,
    }


@pytest.mark.parametrize("error", ["", "x" * 50, "x" * 10_000, '\u00e9"' * 400])
@pytest.mark.parametrize("model", ["m", "m" * 300, "m" * 9_000])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_a_void_is_small(error: str, model: str, count: int) -> None:
    """Errors are shortened, the earliest attempts left out and counted (rule: bounded)."""
    envelope = 320
    attempts = [attempt(error, model) for _ in range(count)]
    members = void_members(envelope, attempts, "upstream_error" * 20)
    assert envelope + len(members) + FIGURES_BYTES_MAX <= VOID_BYTES_MAX
    told = msgspec.json.decode(b"{%b}" % members)
    left_out = count - len(told["attempts"])
    assert (f"; {left_out} earlier attempts left out" in told["reason"]) == (left_out > 0)


def test_what_fits_is_told_whole() -> None:
    """An attempt with a short error stands as it was (money rule 4)."""
    told = msgspec.json.decode(b"{%b}" % void_members(320, [attempt("no luck")], "failed"))
    assert told == {"attempts": [attempt("no luck")], "reason": "failed"}


def test_a_voided_call_leaves_a_small_void(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """However much the provider had to say (rule: bounded)."""
    said = msgspec.json.encode({"error": {"message": "no " * 20_000, "code": "c" * 5_000}})
    upstream.answer = lambda connection, _: reply(connection, said, status=500)
    user = gateway.user()
    assert gateway.chat(user, {}).status_code >= 500
    with gateway.database.connect() as connection:
        row = connection.execute(
            "SELECT length(state) FROM events WHERE topic LIKE '%.hold_voided.%'"
        ).fetchone()
    assert row is not None
    assert row[0] <= VOID_BYTES_MAX
    gateway.verified()
