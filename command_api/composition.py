"""What the settings describe, made here and nowhere else: database, secrets, append, providers.

Serving processes, background work and the command line are put together from the same parts. What
most verbs do not need is loaded by whoever asks for it, for each verb is a process that starts.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from command_api.identity.secret import Place, open_vault
from event_store.append.committer import Committer
from event_store.ids import to_iso
from event_store.postgres.database import Database
from event_store.postgres.embedded import EmbeddedPostgres
from event_store.postgres.migrate import require_ledger
from projections.engine.runner import FOLLOWER
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import migrate_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from command_api.identity.key_ring import KeyRing
    from command_api.identity.vault import Vault
    from command_api.settings import Settings
    from providers.inference.registry.registry import Registry
    from providers.login.port import LoginProvider
    from providers.login.privy import PrivyTokens
    from providers.login.remote import Remote
    from providers.mail.port import Mailer
    from providers.payments.billing import BillingProvider
    from providers.payments.port import PaymentProvider


def named_database(settings: Settings) -> Database | None:
    """Somebody else's database, where the settings name one; else the home has its own."""
    named = settings.database
    return Database.from_url(named.url, named.migrations_url) if named.url else None


def embedded_of(settings: Settings) -> EmbeddedPostgres | None:
    """The home's own server; None where the settings name somebody else's database."""
    return None if named_database(settings) else _home_server(settings)


def database_of(settings: Settings) -> Database:
    """The database of the settings, which somebody else keeps running."""
    return named_database(settings) or _home_server(settings).database()


def _home_server(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(settings.installation.home)


@contextmanager
def open_database(
    settings: Settings, embedded: EmbeddedPostgres | None = None, *, create: bool = True
) -> Iterator[Database]:
    """The database of the settings: somebody else's, or the home's own while we use it.

    Who wants to revive the home's own passes it as `embedded`. Raises EmbeddedPostgresError
    where it cannot be started. Without `create` nothing is made: raises NoLedgerError where
    there is no ledger, OutdatedLedgerError where there is one that must be migrated first.
    """
    embedded = embedded or embedded_of(settings)
    if embedded is None:
        database = database_of(settings)
        if not create:
            require_ledger(database)
        yield database
        return
    if create:
        settings.installation.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with embedded.running(create=create) as database:
        if not create:
            require_ledger(database)
        yield database


def prepare_database(settings: Settings, database: Database, *, move: bool) -> list[str]:
    """Apply what is missing: migrations, and projections that are new or changed.

    With `move`, counters go where these settings want them: into Redis, or out of it.
    """
    host = settings.reads.projection_host
    return migrate_all(
        database,
        sinks_of(settings.redis.url),
        host=host,
        partitions=1 if host == FOLLOWER else settings.kafka.partitions,
        move=move,
    )


def place_of_secret(settings: Settings) -> Place:
    """Where the secret of the installation is."""
    identity = settings.identity
    file = identity.secret_file or settings.installation.home / "secret.key"
    return Place(file=file, configured=identity.secret_key)


def vault_of(settings: Settings, database: Database) -> Vault:
    """The vault of the secret, which must be this database's. Raises SecretError."""
    return open_vault(database, place_of_secret(settings))


def committer_of(settings: Settings, database: Database, owner_id: UUID) -> Committer:
    """The append of one process; nothing is connected yet."""
    return Committer(
        database.application,
        owner_id=owner_id,
        hold_ttl_s=settings.hold_ttl_s,
        append_timeout_s=settings.database.append_timeout_s,
    )


def key_ring_of(settings: Settings, database: Database, vault: Vault) -> KeyRing:
    """Who says whose a key is, in one process."""
    from command_api.identity.key_ring import KeyRing

    identity = settings.identity
    return KeyRing(
        database,
        vault,
        cache_s=identity.key_cache_s,
        cache_max=identity.key_cache_max,
        wrong_per_s=identity.wrong_keys_per_s,
        planless=settings.plans.planless_limits,
    )


def registry_of(settings: Settings) -> Registry:
    """The providers that settings and environment describe. Raises ProvidersFileError."""
    from providers.inference.adapters.http1.limits import ClientLimits
    from providers.inference.registry.loading import load_registry

    upstream = settings.upstream
    file = upstream.providers_file
    changed = file.stat().st_mtime if file and file.exists() else 0
    return load_registry(
        environment=settings.environment,
        providers_file=file,
        effective_at=to_iso(datetime.fromtimestamp(changed, UTC)),
        limits=ClientLimits(
            connect_s=upstream.connect_s,
            silence_s=upstream.silence_s,
            attempt_s=settings.calls.deadline_s,
            reply_bytes_max=upstream.reply_bytes_max,
        ),
    )


def mailer_of(settings: Settings) -> Mailer:
    """Who carries mails. Raises ValueError for a mail server's URL that cannot be one."""
    from providers.mail.folder import FolderMailer
    from providers.mail.resend import ResendMailer
    from providers.mail.smtp import SmtpMailer

    mail = settings.mail
    if mail.resend_api_key:
        return ResendMailer(mail.resend_api_key, mail.sender)
    if mail.smtp_url:
        return SmtpMailer(mail.smtp_url, mail.sender)
    return FolderMailer(mail_folder(settings), mail.sender)


def logins_of(settings: Settings, remote: Remote) -> dict[str, LoginProvider]:
    """The login providers that have an id and a secret, by their names."""
    from providers.login.github import GithubProvider
    from providers.login.oidc import GOOGLE, OidcProvider

    login = settings.login
    found: dict[str, LoginProvider] = {}
    if login.google_client_id and login.google_client_secret:
        client = (login.google_client_id, login.google_client_secret)
        found["google"] = OidcProvider("google", GOOGLE, client, remote)
    if login.github_client_id and login.github_client_secret:
        client = (login.github_client_id, login.github_client_secret)
        found["github"] = GithubProvider(login.github_url, client, remote)
    if login.oidc_issuer and login.oidc_client_id and login.oidc_client_secret:
        client = (login.oidc_client_id, login.oidc_client_secret)
        found["oidc"] = OidcProvider("oidc", login.oidc_issuer, client, remote)
    return found


def privy_of(settings: Settings, remote: Remote) -> PrivyTokens | None:
    """Who reads Privy's tokens; None without a key to verify them by.

    Raises ValueError for a key that is none.
    """
    login = settings.login
    if not login.privy_app_id:
        return None
    from providers.login.privy import PrivyTokens
    from providers.login.tokens import Keys, OneKey

    if login.privy_verification_key:
        return PrivyTokens(login.privy_app_id, OneKey(login.privy_verification_key))
    if login.privy_jwks_url:
        return PrivyTokens(login.privy_app_id, Keys(remote, login.privy_jwks_url))
    return None


def payments_of(settings: Settings) -> PaymentProvider | None:
    """Who takes the money; None without a key."""
    payments = settings.payments
    if not payments.stripe_api_key:
        return None
    # Most processes and verbs take no money, and the SDK takes a moment to load.
    from providers.payments.stripe_api import Stripe

    return Stripe(payments.stripe_api_key, payments.stripe_url)


def billing_of(settings: Settings) -> BillingProvider | None:
    """Who takes money again and again; None without a key."""
    payments = settings.payments
    if not payments.stripe_api_key:
        return None
    from providers.payments.stripe_billing import StripeBilling

    return StripeBilling(payments.stripe_api_key, payments.stripe_url)


def carries_mails(settings: Settings) -> bool:
    """Whether somebody does, so that they are no files."""
    return bool(settings.mail.resend_api_key or settings.mail.smtp_url)


def mail_folder(settings: Settings) -> Path:
    """Where mails lie that nobody carries."""
    return settings.installation.home / "mail"


def configure_logging(settings: Settings) -> None:
    """Plain lines on standard error."""
    logging.basicConfig(
        level=settings.installation.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # The relay says itself, in one line, that the broker is away.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
