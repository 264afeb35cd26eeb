"""What a start says: to a new home a first user with a key, to others how to make one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.composition import carries_mails, mail_folder, vault_of
from command_api.identity.users import Users
from command_api.money.grants import Grants
from domain.pricing.money import usd_number

if TYPE_CHECKING:
    from command_api.settings import Settings
    from domain.ledger.lots import TrialTerms
    from event_store.postgres.database import Database

FIRST_START = "system:first_start"
"""Who makes the first user of a home."""


def greeting(settings: Settings, database: Database, url: str) -> str:
    """The text for people; a database without users gets its first one, with a trial."""
    home = settings.installation.home
    mails = "" if carries_mails(settings) else f"Mails are files in {mail_folder(settings)}.\n"
    marker = home / "welcomed"
    with database.connect() as connection:
        known = connection.execute("SELECT FROM user_secret LIMIT 1").fetchone() is not None
    if marker.exists() or known:
        marker.touch()
        return (
            f"Gatewayz serves on {url}/v1\n{mails}"
            "Make a key with: gatewayz user create --email you@example.com --grant 10"
            f" --home {home}"
        )
    users = Users(database, vault_of(settings, database), actor=FIRST_START)
    try:
        user = users.create_user("first-user@localhost")
        grants, terms = Grants(database, actor=FIRST_START), settings.trial.terms
        asyncio.run(grants.give_trial(UUID(user.account_id), terms))
    finally:
        users.close()
    marker.touch()
    return welcome(url, user.api_key, mails, terms)


def welcome(url: str, api_key: str, mails: str, terms: TrialTerms) -> str:
    """What the first start of a home prints."""
    amount = usd_number(terms.nano_usd).removesuffix(".0")
    credits_ = f"{amount} USD of trial credits for {terms.days} days"
    body = '{"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello!"}]}'
    return f"""
Gatewayz serves.

  Base URL  {url}/v1
  API key   {api_key}   ({credits_}; shown this once)

Try it:

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {api_key}" \\
    -H "Content-Type: application/json" \\
    -d '{body}'

{mails}Stop with Ctrl-C.
"""
