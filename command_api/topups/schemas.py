"""The body of what an account wants: US cents, as everywhere where people pay."""

from __future__ import annotations

import msgspec

from domain.topups.topups import Terms


class TopUpsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /user/auto-top-up. What is left out stays as it is."""

    enabled: bool | None = None
    threshold: int | None = None
    amount: int | None = None
    monthly_cap: int | None = None

    def over(self, known: Terms) -> Terms:
        """What is wanted from now on, given what was wanted before."""
        return Terms(
            known.enabled if self.enabled is None else self.enabled,
            known.threshold if self.threshold is None else self.threshold,
            known.amount if self.amount is None else self.amount,
            known.cap if self.monthly_cap is None else self.monthly_cap,
        )


decode_top_ups = msgspec.json.Decoder(TopUpsAsked).decode
