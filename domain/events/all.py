"""All events there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.catalog import ListConfirmed, ModelDelisted, ModelListed, PricePublished
from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, UserRegistered
from domain.events.ledger import (
    CreditsGranted,
    HoldExpired,
    HoldExtended,
    HoldPlaced,
    HoldRefused,
    HoldSettled,
    HoldVoided,
    HouseLossBooked,
    LotExpired,
)
from domain.events.quotas import QuotaRemoved, QuotaSet

if TYPE_CHECKING:
    from domain.events.base import Event

EVENT_CLASSES: tuple[type[Event], ...] = (
    CreditsGranted,
    LotExpired,
    HoldPlaced,
    HoldRefused,
    HoldExtended,
    HoldSettled,
    HoldVoided,
    HoldExpired,
    HouseLossBooked,
    UserRegistered,
    ApiKeyCreated,
    ApiKeyRotated,
    ApiKeyRevoked,
    ModelListed,
    ModelDelisted,
    PricePublished,
    ListConfirmed,
    QuotaSet,
    QuotaRemoved,
)
"""Every event type there is, newest version of each."""
