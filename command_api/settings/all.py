"""All groups of settings together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from command_api.settings.calls import (
    BackgroundSettings,
    CallSettings,
    GuardrailSettings,
    HoldSettings,
    QueueSettings,
    RequestSettings,
    RoutingSettings,
    UpstreamSettings,
)
from command_api.settings.group import PREFIX, Group
from command_api.settings.knowledge import (
    CatalogSettings,
    HealthSettings,
    IdentitySettings,
    ReadSettings,
)
from command_api.settings.login import LoginSettings
from command_api.settings.mail import MailSettings, SignInSettings
from command_api.settings.offers import (
    CreditSettings,
    PlanSettings,
    ReferralSettings,
    ReminderSettings,
    TrialSettings,
)
from command_api.settings.payments import PaymentSettings
from command_api.settings.processes import (
    InstallationSettings,
    LeaseSettings,
    RelaySettings,
    ServerSettings,
    WorkerSettings,
)
from command_api.settings.stores import (
    DatabaseSettings,
    KafkaSettings,
    KeptReplySettings,
    LimitSettings,
    RedisSettings,
    SpoolSettings,
)
from command_api.settings.work.batches import BatchSettings, FileSettings
from command_api.settings.work.provider_keys import ProviderKeySettings
from command_api.settings.work.realtime import RealtimeSettings

GROUPS: dict[str, type[Group]] = {
    "installation": InstallationSettings,
    "server": ServerSettings,
    "identity": IdentitySettings,
    "mail": MailSettings,
    "sign_in": SignInSettings,
    "login": LoginSettings,
    "trial": TrialSettings,
    "plans": PlanSettings,
    "referrals": ReferralSettings,
    "reminders": ReminderSettings,
    "credits": CreditSettings,
    "payments": PaymentSettings,
    "database": DatabaseSettings,
    "spool": SpoolSettings,
    "redis": RedisSettings,
    "limits": LimitSettings,
    "requests": RequestSettings,
    "holds": HoldSettings,
    "queue": QueueSettings,
    "calls": CallSettings,
    "background": BackgroundSettings,
    "files": FileSettings,
    "batches": BatchSettings,
    "provider_keys": ProviderKeySettings,
    "realtime": RealtimeSettings,
    "upstream": UpstreamSettings,
    "guardrails": GuardrailSettings,
    "routing": RoutingSettings,
    "kept_replies": KeptReplySettings,
    "leases": LeaseSettings,
    "catalog": CatalogSettings,
    "health": HealthSettings,
    "reads": ReadSettings,
    "kafka": KafkaSettings,
    "relay": RelaySettings,
    "worker": WorkerSettings,
}
"""Each group by its name in `Settings`, in the order of the book."""

VARIABLES = {variable for group in GROUPS.values() for variable in group.variables().values()}


class Settings(BaseModel):
    """The groups, and the environment that they were read from, as it was then.

    The environment serves those whose variables are not ours to name: the providers' keys and
    addresses, and the children's surroundings. Nothing else looks at it after the start.
    """

    model_config = ConfigDict(frozen=True)

    environment: Mapping[str, str] = Field(repr=False)
    installation: InstallationSettings
    server: ServerSettings
    identity: IdentitySettings
    mail: MailSettings
    sign_in: SignInSettings
    login: LoginSettings
    trial: TrialSettings
    plans: PlanSettings
    referrals: ReferralSettings
    reminders: ReminderSettings
    credits: CreditSettings
    payments: PaymentSettings
    database: DatabaseSettings
    spool: SpoolSettings
    redis: RedisSettings
    limits: LimitSettings
    requests: RequestSettings
    holds: HoldSettings
    queue: QueueSettings
    calls: CallSettings
    background: BackgroundSettings
    files: FileSettings
    batches: BatchSettings
    provider_keys: ProviderKeySettings
    realtime: RealtimeSettings
    upstream: UpstreamSettings
    guardrails: GuardrailSettings
    routing: RoutingSettings
    kept_replies: KeptReplySettings
    leases: LeaseSettings
    catalog: CatalogSettings
    health: HealthSettings
    reads: ReadSettings
    kafka: KafkaSettings
    relay: RelaySettings
    worker: WorkerSettings

    def __init__(self, **given: Any) -> None:
        """Read the environment; what is given wins, by a variable's name: `port` for GATEWAYZ_PORT.

        Raises pydantic's ValidationError, whose places are variables, for a value that cannot be
        used, and TypeError for a keyword that is no setting.
        """
        named = {PREFIX + name.upper(): value for name, value in given.items()}
        if unknown := sorted(named.keys() - VARIABLES):
            message = f"no setting is called {unknown[0]}"
            raise TypeError(message)
        groups = {name: group(**named) for name, group in GROUPS.items()}
        super().__init__(environment=dict(os.environ), **groups)

    @property
    def hold_ttl_s(self) -> int:
        """Life of a hold: the call's deadline and the grace (money rule 11), seconds."""
        return int(self.calls.deadline_s) + self.holds.grace_s

    def groups(self) -> Iterator[Group]:
        """Each group."""
        return (getattr(self, name) for name in GROUPS)
