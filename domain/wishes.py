"""What a process manager wants done because of an event: decided here, done elsewhere, once.

A wish is data. Its key names it within its manager, so that the same cause, heard again, wishes
nothing new; whoever does it makes the command's idempotency key of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Detail = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One command to do, now or at an instant.

    `kind` says which command, `details` what it is about (JSON values, amounts in nano-USD).
    `due_at` is an instant as events write it, by the database's clock; None is at once.
    """

    kind: str
    key: str
    details: Mapping[str, Detail] = field(default_factory=dict)
    due_at: str | None = None
