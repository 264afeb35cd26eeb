"""Which card a payment was made with, as a keyed hash of the provider's fingerprint (P5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from providers.payments.port import PaymentRefusedError

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.identity.people import People
    from providers.payments.port import PaymentProvider

PAYMENTS_MAX = 10
"""Of a user's payments, the latest that are asked about at once; those before stay known."""
_UNKNOWN = (
    "SELECT p.payment_id FROM payment p WHERE p.user_id = %s AND p.lot_id IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM payment_fingerprint f WHERE f.payment_id = p.payment_id) "
    "ORDER BY p.created_at DESC LIMIT %s"
)


class Fingerprints:
    """Asks the provider once for each payment, and keeps what it said."""

    def __init__(self, people: People, provider: PaymentProvider | None) -> None:
        """Without a provider nothing is known but what was kept."""
        self._people, self._provider = people, provider

    async def of_payment(self, payment_id: UUID) -> str:
        """The card of a payment; empty for other means. Raises PaymentsUnavailableError."""
        account_id, intent_id, known = await asyncio.to_thread(self._known, payment_id)
        if known is not None or self._provider is None:
            return known or ""
        try:
            told = await self._provider.fingerprint(intent_id) if intent_id else ""
        except PaymentRefusedError:
            told = ""
        found = self._people.vault.pseudonym("fingerprint", told) if told else ""
        await asyncio.to_thread(self._keep, payment_id, account_id, found)
        return found

    async def of_user(self, user_id: UUID) -> frozenset[str]:
        """The cards that a user has paid with; raises PaymentsUnavailableError."""
        for payment_id in await asyncio.to_thread(self._unknown, user_id):
            await self.of_payment(payment_id)
        return await asyncio.to_thread(self._of_user, user_id)

    def _known(self, payment_id: UUID) -> tuple[UUID, str, str | None]:
        with self._people.connect() as connection:
            row = connection.execute(
                "SELECT p.account_id, p.intent_id, f.fingerprint FROM payment p "
                "LEFT JOIN payment_fingerprint f USING (payment_id) WHERE p.payment_id = %s",
                [payment_id],
            ).fetchone()
        assert row is not None, "a payment that is completed and not there"
        return row[0], row[1] or "", row[2]

    def _keep(self, payment_id: UUID, account_id: UUID, fingerprint: str) -> None:
        with self._people.connect() as connection:
            connection.execute(
                "INSERT INTO payment_fingerprint VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [payment_id, account_id, fingerprint],
            )

    def _unknown(self, user_id: UUID) -> list[UUID]:
        with self._people.connect() as connection:
            rows = connection.execute(_UNKNOWN, [user_id, PAYMENTS_MAX]).fetchall()
        return [each for (each,) in rows]

    def _of_user(self, user_id: UUID) -> frozenset[str]:
        with self._people.connect() as connection:
            rows = connection.execute(
                "SELECT f.fingerprint FROM payment_fingerprint f JOIN payment p USING (payment_id) "
                "WHERE p.user_id = %s AND f.fingerprint <> ''",
                [user_id],
            ).fetchall()
        return frozenset(each for (each,) in rows)
