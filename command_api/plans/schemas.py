"""The body of an assignment. Older clients name a plan by its number."""

from __future__ import annotations

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
REASON_CHARACTERS_MAX = 500


class AssignPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /admin/assign-plan; `duration_months` null is without an end."""

    user_id: Text
    plan_id: Text | int
    duration_months: int | None = 1
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)] = ""


decode_assign = msgspec.json.Decoder(AssignPlan).decode
