"""What callers want Stripe to keep beside what they pay: Stripe's bounds, and a form of texts.

Source: docs.stripe.com/api/metadata; we allow fewer members than Stripe, for some are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_MAX, METADATA_NAME_MAX, METADATA_VALUE_MAX = 20, 40, 500


def check_metadata(given: Mapping[str, Any] | None) -> None:
    """Raise ApiError 400 for what Stripe would not keep."""
    given = given or {}
    for name, value in given.items():
        fits = isinstance(value, str | int | bool) or value is None
        if not fits or len(name) > METADATA_NAME_MAX or len(str(value)) > METADATA_VALUE_MAX:
            message = (
                f"metadata has names of at most {METADATA_NAME_MAX} characters, and texts or "
                f"whole numbers of at most {METADATA_VALUE_MAX} as values."
            )
            raise bad_request("invalid_value", message, "metadata")
        if not (name.isprintable() and name) or "[" in name or "]" in name:
            message = "a name in metadata is empty, or holds a bracket or a control character."
            raise bad_request("invalid_value", message, "metadata")
    if len(given) > METADATA_MAX:
        message = f"metadata has at most {METADATA_MAX} members."
        raise bad_request("invalid_value", message, "metadata")


def texts_of(given: Mapping[str, Any] | None) -> dict[str, str]:
    """The members as texts, without those that are null."""
    return {name: str(value) for name, value in (given or {}).items() if value is not None}
