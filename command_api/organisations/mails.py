"""The mail to somebody who is invited. Links come from the settings alone, never from a request."""

from __future__ import annotations

from providers.mail.port import Mail


def invited(address: str, organisation: str, role: str, public_url: str | None) -> Mail:
    """Says who invites, and how to accept; it holds nothing that opens anything."""
    way = (
        f"{public_url.rstrip('/')}/invitations"
        if public_url
        else "GET /user/invitations, then POST /user/invitations/{id}/accept"
    )
    text = (
        f"You are invited to the organisation “{organisation}” on Gatewayz, as {role}.\n\n"
        f"Sign in (or register) with this address, verify it, and accept: {way}\n\n"
        "It is good for seven days. If you do not know them, nothing has to be done.\n"
    )
    return Mail(address, "You are invited to an organisation", text)
