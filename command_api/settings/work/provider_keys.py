"""Settings of customers' own keys at providers."""

from __future__ import annotations

from pydantic import Field

from command_api.settings.group import Group
from domain.pricing.shares import WHOLE


class ProviderKeySettings(Group):
    """Own keys at providers: how many, and what their calls cost."""

    fee_percent: int = Field(
        0,
        ge=0,
        le=WHOLE,
        alias="GATEWAYZ_PROVIDER_KEY_FEE_PERCENT",
        description="What of its price a call pays that uses its customer's own key at the "
        "provider: `5` is a twentieth.",
    )
    organisation_max: int = Field(
        100,
        ge=0,
        le=1_000,
        alias="GATEWAYZ_PROVIDER_KEYS_PER_ORGANISATION_MAX",
        description="Most provider keys of an organisation, those of its projects together; with 0 "
        "none is stored.",
    )
