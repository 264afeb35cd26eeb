"""The body of what an account wants: US cents, as everywhere where people pay."""

from __future__ import annotations

import msgspec

from domain.topups.topups import Terms


class TopUpsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /user/auto-top-up."""

    enabled: bool
    threshold: int
    amount: int
    monthly_cap: int

    @property
    def terms(self) -> Terms:
        """The same as the domain has it."""
        return Terms(self.enabled, self.threshold, self.amount, self.monthly_cap)


decode_top_ups = msgspec.json.Decoder(TopUpsAsked).decode
