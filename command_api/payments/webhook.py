"""POST /api/stripe/webhook: what Stripe tells is checked, kept, and answered at once.

Nothing is decided here: whatever becomes of it later, Stripe has done its part.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
from fastapi import APIRouter, Request, Response

from command_api.payments.inbox import WEBHOOK, Inbox, InboxFullError
from edge.access import OPEN
from edge.asgi import header_of
from edge.body import read_raw
from edge.errors import SERVER, ApiError, bad_request, sentence, unavailable
from edge.replies import json_reply, timestamp
from providers.payments.signatures import SignatureError, check_signature
from providers.payments.told import UnreadableEventError, read_notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command_api.identity.people import People
    from providers.payments.told import Notice

BODY_BYTES_MAX = 2**20

router = APIRouter()


class Webhooks:
    """One for each process."""

    def __init__(self, people: People, secrets: Sequence[str]) -> None:
        """The endpoint's secrets: the present one, and the one that is rotated out."""
        self._people, self._secrets = people, secrets
        self._inbox = Inbox(people.vault)

    async def receive(self, header: str, body: bytes) -> tuple[Notice, bool]:
        """Keep a webhook; whether it is new. Raises ApiError 400 or 503."""
        if not self._secrets:
            message = (
                "Webhooks are not taken here: whoever runs this gateway has to set "
                "GATEWAYZ_STRIPE_WEBHOOK_SECRETS."
            )
            raise ApiError(503, "webhooks_off", message, kind=SERVER)
        try:
            check_signature(header, body, self._secrets, int(time.time()))
        except SignatureError as error:
            raise bad_request("invalid_signature", sentence(error)) from None
        try:
            notice = read_notice(body)
        except UnreadableEventError as error:
            raise bad_request("invalid_event", sentence(error)) from None
        try:
            return notice, await self._people.run(self._keep, notice, body)
        except InboxFullError as error:
            raise unavailable("inbox_full", f"{sentence(error)} Send it again later.") from None
        except (psycopg.Error, psycopg_pool.PoolTimeout):
            message = "The database cannot be reached: send it again later."
            raise unavailable("ledger_unavailable", message) from None

    def _keep(self, notice: Notice, body: bytes) -> bool:
        with self._people.connect() as connection:
            return self._inbox.keep(connection, notice, body, WEBHOOK)


@router.post("/api/stripe/webhook", dependencies=[OPEN])
async def webhook(request: Request) -> Response:
    """Take what Stripe tells, signed by the endpoint's secret."""
    body = await read_raw(request, bytes_max=BODY_BYTES_MAX)
    webhooks: Webhooks = request.app.state.webhooks
    header = header_of(request.scope, b"stripe-signature").decode("latin-1")
    notice, new = await webhooks.receive(header, body)
    return json_reply(
        {
            "success": True,
            "event_type": notice.type,
            "event_id": notice.id,
            "message": "It is kept and will be handled." if new else "It was told before.",
            "processed_at": timestamp(),
        }
    )
