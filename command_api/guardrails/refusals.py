"""What a caller is told whom a guard stops: which guard, never what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import SERVER, ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT = "input"
ANSWER = "output"


def blocked(guard: str, stage: str, calls: Sequence[str] = ()) -> ApiError:
    """A 400: the guard lets the prompt or the answer through to nobody.

    `calls` are those that it made to ask a model, and which were charged.
    """
    what, charge = _told(stage, calls)
    message = f"The guard {guard!r} does not let this {what} through. {charge}"
    return ApiError(400, "guardrail_blocked", message, extra=_extra(guard, stage, calls))


def failed(guard: str, stage: str, calls: Sequence[str] = ()) -> ApiError:
    """A 503: the guard could not look, and by its rule nothing passes that it did not look at."""
    what, charge = _told(stage, calls)
    message = (
        f"The guard {guard!r} could not look at this {what}, and lets nothing through that it did "
        f"not see. {charge} Try again later or with less text, or ask who runs this gateway."
    )
    extra = _extra(guard, stage, calls)
    return ApiError(503, "guardrail_failed", message, kind=SERVER, extra=extra)


def refused(guard: str, stage: str, error: ApiError, calls: Sequence[str] = ()) -> ApiError:
    """The caller's own refusal where a guard wanted to ask a model: by credits, or by a limit."""
    what, charge = _told(stage, calls)
    error.message = (
        f"The guard {guard!r} has to ask a model about this {what}. {error.message} {charge}"
    )
    error.extra = {**error.extra, **_extra(guard, stage, calls)}
    return error


def _extra(guard: str, stage: str, calls: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"guard": guard, "stage": stage}
    return {**found, "moderation_calls": list(calls)} if calls else found


def _told(stage: str, calls: Sequence[str]) -> tuple[str, str]:
    if stage == ANSWER:
        return "answer", "What was made is charged."
    return "prompt", "Nothing is charged but what its moderation cost." if calls else (
        "Nothing was charged."
    )
