"""What a caller is told whom a guard stops: which guard, never what it found."""

from __future__ import annotations

from edge.errors import SERVER, ApiError

PROMPT = "input"
ANSWER = "output"


def blocked(guard: str, stage: str) -> ApiError:
    """A 400: the guard lets the prompt or the answer through to nobody."""
    what, charge = _told(stage)
    message = f"The guard {guard!r} does not let this {what} through. {charge}"
    extra = {"guard": guard, "stage": stage}
    return ApiError(400, "guardrail_blocked", message, extra=extra)


def failed(guard: str, stage: str) -> ApiError:
    """A 503: the guard could not look, and by its rule nothing passes that it did not look at."""
    what, charge = _told(stage)
    message = (
        f"The guard {guard!r} could not look at this {what}, and lets nothing through that it did "
        f"not see. {charge} Try again with less text, or ask who runs this gateway."
    )
    extra = {"guard": guard, "stage": stage}
    return ApiError(503, "guardrail_failed", message, kind=SERVER, extra=extra)


def _told(stage: str) -> tuple[str, str]:
    if stage == PROMPT:
        return "prompt", "Nothing was charged."
    return "answer", "What was made is charged."
