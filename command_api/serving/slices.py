"""The slices of one serving process beside the calls: begun, ended, and handed to their routes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from command_api.api_keys.commands import KeyCommands
from command_api.books.commands import BooksDesk
from command_api.composition import logins_of, mailer_of, payments_of, privy_of
from command_api.coupons.commands import Coupons
from command_api.credits.approvals import Approvals
from command_api.credits.commands import Credits
from command_api.gifts.commands import Gifts
from command_api.identities.commands import Identities
from command_api.identity.people import People
from command_api.identity.users import find_key
from command_api.limits.routes import LimitParts
from command_api.mails.metrics import MailMetrics
from command_api.mails.outbox import Outbox
from command_api.money.approvals import Rule
from command_api.organisations.desk import OrganisationDesk
from command_api.passkeys.commands import Passkeys
from command_api.payments.commands import Buying
from command_api.payments.webhook import Webhooks
from command_api.plans.commands import planless_newcomers
from command_api.plans.desk import PlanDesk
from command_api.profile.commands import Profiles
from command_api.roles.desk import AdminDesk
from command_api.second_factor.commands import SecondFactor
from command_api.sessions.reception import Reception
from command_api.sign_in.callers import Callers
from command_api.sign_in.commands import SignIn
from domain.pricing.money import parse_usd
from providers.login.remote import Remote

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from command_api.serving.gateway import Gateway
    from command_api.settings import Settings
    from event_store.postgres.database import Database


class Slices:
    """Made with the application; begun and ended with it."""

    def __init__(
        self, settings: Settings, database: Database, vault: Vault, gateway: Gateway
    ) -> None:
        """Nothing is connected yet."""
        self._planless = planless = settings.plans.planless_limits
        self._people = People(
            database,
            vault,
            keys_max=settings.identity.keys_per_user_max,
            newcomers=planless_newcomers if planless else None,
        )
        self._outbox = Outbox(self._people, mailer_of(settings))
        self.mail_metrics = MailMetrics(self._outbox.ended, lambda: self._outbox.left)
        self._reception = Reception(settings, self._people, self._outbox)
        self._sign_in = SignIn(settings, database, self._reception)
        self._second_factor = SecondFactor(self._reception, self._sign_in.is_theirs)
        self._passkeys = Passkeys(
            self._reception, settings.mail.public_url, self._second_factor.prove
        )
        self._remote = Remote()
        self._identities = Identities(
            self._reception,
            logins_of(settings, self._remote),
            privy_of(settings, self._remote),
            settings.mail.public_url,
            self._sign_in.give_trial,
        )
        self._organisations = OrganisationDesk(
            self._people,
            self._outbox,
            count=self._reception.attempts.invitation,
            public_url=settings.mail.public_url,
            forget=gateway.keys.forget,
        )
        self._profiles = Profiles(
            self._people,
            self._outbox,
            self._sign_in.send_verification,
            self._organisations.gone,
        )
        self._keys = KeyCommands(self._people, gateway.keys)
        self._desk = AdminDesk(self._people, gateway.keys.forget)
        self.note_read = self._desk.note_read
        self._limits = LimitParts(
            gateway.limits, self._people, partial(find_key, self._people, vault)
        )
        self._move_credits(settings, vault, gateway)
        self._books = BooksDesk(self._people)
        self._plans = PlanDesk(self._people, gateway.keys.forget, planless=planless)
        self._trial = settings.trial.terms
        self._coupons = Coupons(self._people, gateway.committer, self._reception.attempts)
        payments = settings.payments
        self._buying = Buying(
            self._people,
            payments_of(settings),
            rates=payments.rates_by_currency,
            return_url=payments.return_url or settings.mail.public_url,
        )
        self._webhooks = Webhooks(self._people, payments.webhook_secrets)
        self._callers = Callers(gateway.keys, self._sign_in)
        self._proxies = gateway.calls.proxies

    def _move_credits(self, settings: Settings, vault: Vault, gateway: Gateway) -> None:
        """The slices through which people move credits that are there."""
        self._credits = Credits(gateway.committer, vault)
        self._approvals = Approvals(
            self._people,
            gateway.committer,
            Rule(settings.credits.approval_above, settings.credits.approval_hours),
        )
        self._gifts = Gifts(
            self._people,
            gateway.committer,
            self._reception.attempts.gift,
            nano_usd_max=parse_usd(settings.credits.gift_usd_max),
        )

    def hand_to(self, state: Any) -> None:
        """Hang on the application's state what the slices' routes look for there."""
        state.authenticate = self._callers.authenticate
        state.sign_in = self._sign_in
        state.second_factor = self._second_factor
        state.passkeys = self._passkeys
        state.identities = self._identities
        state.organisations = self._organisations
        state.profiles = self._profiles
        state.key_commands = self._keys
        state.admin_desk = self._desk
        state.limits = self._limits
        state.credits = self._credits
        state.gifts = self._gifts
        state.approvals = self._approvals
        state.books = self._books
        state.coupons = self._coupons
        state.plans = self._plans
        state.planless = self._planless
        state.trial = self._trial
        state.buying = self._buying
        state.webhooks = self._webhooks
        state.proxies = self._proxies

    async def start(self) -> None:
        """Connect, and begin to work in the background."""
        await asyncio.to_thread(self._people.open)
        self._reception.open()
        self._outbox.start()

    async def stop(self) -> None:
        """Begin nothing more, and disconnect."""
        await self._remote.close()
        await self._buying.close()
        await self._outbox.stop()
        self._sign_in.stop()
        await asyncio.to_thread(self._people.close)
