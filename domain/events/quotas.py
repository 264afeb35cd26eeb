"""Events of quotas: which limits bind an account's calls."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class QuotaEvent(Event):
    """An event of one quota; the stream is the quota's. `account_id` is the account that pays."""

    CATEGORY = "quota"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class QuotaSet(QuotaEvent):
    """So much of a unit may a scope use in each window; the last one set counts.

    `scope_kind` and `scope_id` name what is limited: a key, a user or the whole account. `zone` is
    the IANA name of the zone in which days and months begin.
    """

    TOPIC = "quota.set.v1"

    scope_kind: str
    scope_id: str
    unit: str
    window: str
    limit: int
    zone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class QuotaRemoved(QuotaEvent):
    """The quota binds no further call; what it counted stays, should it be set again."""

    TOPIC = "quota.removed.v1"
