"""Stripe's error object (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any


class Refused(Exception):  # noqa: N818 - it is Stripe's answer, not our failure
    """An answer with an error."""

    def __init__(self, status: int, kind: str, message: str, **members: Any) -> None:
        """`members` stand beside type and message."""
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"type": kind, "message": message, **members}}


def invalid(message: str, param: str = "", code: str = "") -> Refused:
    """A 400: the request cannot be used."""
    members = {name: value for name, value in (("param", param), ("code", code)) if value}
    return Refused(400, "invalid_request_error", message, **members)


def missing(kind: str, name: str) -> Refused:
    """A 404: there is no such object."""
    return Refused(
        404,
        "invalid_request_error",
        f"No such {kind}: '{name[:100]}'",
        code="resource_missing",
        param="id",
    )
