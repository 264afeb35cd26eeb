"""The slices of one serving process beside the calls: begun, ended, and handed to their routes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from command_api.api_keys.commands import KeyCommands
from command_api.batches.running.assembly import Batches
from command_api.books.commands import BooksDesk
from command_api.composition import billing_of, logins_of, mailer_of, payments_of, privy_of
from command_api.coupons.commands import Coupons
from command_api.credits.approvals import Approvals
from command_api.credits.commands import Credits
from command_api.gifts.commands import Gifts
from command_api.health.commands import Upkeep
from command_api.health.desk import HealthDesk
from command_api.identities.commands import Identities
from command_api.identity.people import People
from command_api.identity.users import find_key
from command_api.limits.routes import LimitParts
from command_api.mails.metrics import MailMetrics
from command_api.mails.outbox import Outbox
from command_api.mcp.service import McpService
from command_api.money.approvals import Rule
from command_api.organisations.desk import OrganisationDesk
from command_api.passkeys.commands import Passkeys
from command_api.payments.commands import Buying
from command_api.payments.webhook import Webhooks
from command_api.plans.commands import planless_newcomers
from command_api.plans.desk import PlanDesk
from command_api.profile.commands import Profiles
from command_api.provider_keys.desk import ProviderKeyDesk
from command_api.referrals.commands import Referrals
from command_api.refunds.commands import Refunds
from command_api.roles.desk import AdminDesk
from command_api.second_factor.commands import SecondFactor
from command_api.sessions.reception import Reception
from command_api.sign_in.callers import Callers
from command_api.sign_in.commands import SignIn
from command_api.subscriptions.commands import Subscriptions
from command_api.subscriptions.refunding import InvoiceRefunds
from command_api.system.pings import PingCounter
from command_api.topups.commands import TopUpDesk
from domain.pricing.money import parse_usd
from providers.login.remote import Remote

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.identity.vault import Vault
    from command_api.serving.gateway import Gateway
    from command_api.settings import Settings
    from domain.events.base import Event
    from event_store.postgres.database import Database
    from query_api.parts import Reads


class Slices:
    """Made with the application; begun and ended with it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        vault: Vault,
        gateway: Gateway,
        reads: Reads,
    ) -> None:
        """Nothing is connected yet."""
        planless = settings.plans.planless_limits
        self._people = People(
            database,
            vault,
            keys_max=settings.identity.keys_per_user_max,
            newcomers=planless_newcomers if planless else None,
        )
        self._outbox = Outbox(self._people, mailer_of(settings))
        self.mail_metrics = MailMetrics(self._outbox.ended, lambda: self._outbox.left)
        self._reception = Reception(settings, self._people, self._outbox)
        self._remote = Remote()
        self._handed: dict[str, object] = {
            "planless": planless,
            "trial": settings.trial.terms,
            "referral_terms": settings.referrals.terms,
            "proxies": gateway.calls.proxies,
        }
        """What the routes look for on the application's state, by name."""
        self._let_in(settings, database, gateway)
        self._let_manage(settings, vault, gateway)
        self._move_credits(settings, vault, gateway)
        self._sell(settings, gateway)
        self._watch(settings, gateway, reads)
        self.batches = Batches(
            settings, database, vault, gateway.calls, self._people, gateway.owner_id
        )
        self.mcp = McpService(settings.server.origins, settings.mail.public_url)
        self._handed |= self.batches.handed | {"mcp": self.mcp}

    def _let_in(self, settings: Settings, database: Database, gateway: Gateway) -> None:
        """The ways to a session, and who brought whom."""
        public_url = settings.mail.public_url
        referrals = Referrals(
            self._people, self._reception.attempts, settings.referrals.terms, public_url
        )
        refer = referrals.at_registration
        self._sign_in = SignIn(settings, database, self._reception, refer)
        second_factor = SecondFactor(self._reception, self._sign_in.is_theirs)
        self._handed |= {
            "authenticate": Callers(gateway.keys, self._sign_in).authenticate,
            "sign_in": self._sign_in,
            "second_factor": second_factor,
            "passkeys": Passkeys(self._reception, public_url, second_factor.prove),
            "identities": Identities(
                self._reception,
                logins_of(settings, self._remote),
                privy_of(settings, self._remote),
                public_url,
                self._sign_in.give_trial,
                refer,
            ),
            "referrals": referrals,
            "referral_link": referrals.link,
            "name_users": referrals.named,
        }

    def _let_manage(self, settings: Settings, vault: Vault, gateway: Gateway) -> None:
        """What people do with what is theirs, and admins with what is others'."""
        self._organisations = OrganisationDesk(
            self._people,
            self._outbox,
            count=self._reception.attempts.invitation,
            public_url=settings.mail.public_url,
            forget=gateway.keys.forget,
        )
        desk = AdminDesk(self._people, gateway.keys.forget)
        self.note_read = desk.note_read
        find = partial(find_key, self._people, vault)
        planless = settings.plans.planless_limits
        self._handed |= {
            "organisations": self._organisations,
            "profiles": Profiles(
                self._people, self._outbox, self._sign_in.send_verification, self._leaving
            ),
            "key_commands": KeyCommands(self._people, gateway.keys),
            "provider_keys": ProviderKeyDesk(
                self._people,
                gateway.registry,
                organisation_max=settings.provider_keys.organisation_max,
                forget=gateway.keys.forget,
            ),
            "admin_desk": desk,
            "limits": LimitParts(gateway.limits, self._people, find),
            "plans": PlanDesk(self._people, gateway.keys.forget, planless=planless),
            "books": BooksDesk(self._people),
        }

    def _move_credits(self, settings: Settings, vault: Vault, gateway: Gateway) -> None:
        """What gives credits, or moves those that are there."""
        attempts, of = self._reception.attempts, settings.credits
        self._handed |= {
            "credits": Credits(gateway.committer, vault),
            "approvals": Approvals(
                self._people, gateway.committer, Rule(of.approval_above, of.approval_hours)
            ),
            "gifts": Gifts(
                self._people,
                gateway.committer,
                attempts.gift,
                nano_usd_max=parse_usd(of.gift_usd_max),
            ),
            "coupons": Coupons(self._people, gateway.committer, attempts),
        }

    def _sell(self, settings: Settings, gateway: Gateway) -> None:
        """What takes money, once or again and again, and what gives it back."""
        payments, provider = settings.payments, payments_of(settings)
        return_url = payments.return_url or settings.mail.public_url
        self._subscriptions = Subscriptions(
            self._people,
            billing_of(settings),
            offers=payments.offers,
            return_url=return_url,
            taxed=payments.subscription_tax,
        )
        self._buying = Buying(
            self._people,
            provider,
            rates=payments.rates_by_currency,
            return_url=return_url,
            customer_of=self._subscriptions.customer_of,
        )
        self._top_ups = TopUpDesk(self._people)
        self._handed |= {
            "buying": self._buying,
            "refunds": Refunds(
                self._people,
                gateway.committer,
                provider,
                InvoiceRefunds(self._people, gateway.committer, provider, payments.offers),
            ),
            "subscriptions": self._subscriptions,
            "top_ups": self._top_ups,
            "webhooks": Webhooks(self._people, payments.webhook_secrets),
        }

    def _watch(self, settings: Settings, gateway: Gateway, reads: Reads) -> None:
        """How providers are doing, and what is done about it."""
        self._health = HealthDesk(
            gateway.registry,
            gateway.router,
            reads,
            self._people,
            Upkeep(self._people),
            interval_s=settings.health.interval_s,
            timeout_s=settings.health.check_timeout_s,
        )
        self._pings = PingCounter(gateway.database)
        self._handed |= {"health": self._health, "pings": self._pings}

    def hand_to(self, state: Any) -> None:
        """Hang on the application's state what the slices' routes look for there."""
        for name, part in self._handed.items():
            setattr(state, name, part)

    def _leaving(self, user_id: UUID) -> list[Event]:
        """What somebody's leaving the house means to these slices. Raises ApiError 409."""
        return [
            *self._subscriptions.leaving(user_id),
            *self._top_ups.leaving(user_id),
            *self._organisations.gone(user_id),
        ]

    async def start(self) -> None:
        """Connect, and begin to work in the background."""
        await asyncio.to_thread(self._people.open)
        self._reception.open()
        self._outbox.start()
        self.batches.start()

    async def stop(self) -> None:
        """Begin nothing more, and disconnect."""
        await self.batches.stop()
        await self.mcp.stop()
        self._health.close()
        self._pings.close()
        await self._remote.close()
        await self._buying.close()
        await self._subscriptions.close()
        await self._outbox.stop()
        self._sign_in.stop()
        await asyncio.to_thread(self._people.close)
