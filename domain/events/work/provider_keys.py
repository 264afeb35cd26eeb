"""Events of provider keys: a customer's own key at a provider. The key itself stands in none."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ProviderKeyEvent(Event):
    """An act on a provider key; the stream's id is its id.

    `organisation_id` is the organisation with whose data key it is sealed, a user's id for the
    personal one; `project_id` is None for a key that is used by the user's own API keys.
    `by_user_id` is who did it; `origin` stands for the address that the request came from (a keyed
    hash), empty for none.
    """

    CATEGORY = "provider_key"

    account_id: str
    organisation_id: str
    project_id: str | None = None
    provider: str
    by_user_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class ProviderKeyStored(ProviderKeyEvent):
    """Calls to the provider use this key from now on.

    `hint` is its last four characters, `fingerprint` a hash under the organisation's data key: it
    tells two keys apart, and nothing any more once that is destroyed.
    """

    TOPIC = "provider_key.stored.v1"

    label: str
    hint: str
    fingerprint: str
    enabled: bool = True
    fallback: bool = False


@dataclass(frozen=True, kw_only=True)
class ProviderKeyReplaced(ProviderKeyEvent):
    """Another key of the same provider is in its place; see `ProviderKeyStored`."""

    TOPIC = "provider_key.replaced.v1"

    hint: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ProviderKeyChanged(ProviderKeyEvent):
    """Its label, whether it is used, or whether the house's key may follow it, are others now."""

    TOPIC = "provider_key.changed.v1"

    label: str
    enabled: bool
    fallback: bool


@dataclass(frozen=True, kw_only=True)
class ProviderKeyRemoved(ProviderKeyEvent):
    """It is used no more, and what was sealed of it is deleted."""

    TOPIC = "provider_key.removed.v1"
