"""What mails say. Links come from the settings alone, never from a request."""

from __future__ import annotations

from urllib.parse import quote

from providers.mail.port import Mail


def verification(address: str, token: str, public_url: str | None) -> Mail:
    """The token that shows that the address is the user's."""
    way = _way(public_url, "verify-email", token, 'POST /auth/verify-email {"token": …}')
    text = (
        f"Welcome to Gatewayz.\n\nTo verify your address: {way}\n\nIt is good for 24 hours, once. "
        "If you did not register, do nothing.\n"
    )
    return Mail(address, "Verify your address", text)


def password_reset(address: str, token: str, public_url: str | None) -> Mail:
    """The token that opens the way to a new password."""
    body = '{"token": …, "password": …}'
    way = _way(public_url, "reset-password", token, f"POST /auth/reset-password {body}")
    text = (
        f"To set a new password: {way}\n\nIt is good for one hour, once. If you did not ask for "
        "it, nothing has to be done.\n"
    )
    return Mail(address, "Set a new password", text)


def password_changed(address: str) -> Mail:
    """Tells the owner, who may not be who did it."""
    text = (
        "The password of your Gatewayz account was set anew, and all other sessions have ended.\n\n"
        "If that was not you, ask for a new one with POST /auth/password-reset at once.\n"
    )
    return Mail(address, "Your password was changed", text)


def address_changed(address: str) -> Mail:
    """Tells the owner of the address before, which opens nothing from now on."""
    text = (
        "Your Gatewayz account has another address now; this one belongs to it no more.\n\n"
        "If that was not you, somebody has your password or a key of yours: write to whoever runs "
        "the gateway at once.\n"
    )
    return Mail(address, "Your address was changed", text)


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


def way_in_changed(address: str, what: str) -> Mail:
    """Tells the owner what opens the account from now on, or does so no more."""
    text = (
        f"{what}\n\nIf that was not you, set a new password with POST /auth/password-reset at "
        "once, end all sessions with DELETE /auth/sessions, and look at what opens the account: "
        "GET /auth/second-factor, /auth/passkeys, /auth/identities.\n"
    )
    return Mail(address, "What opens your account was changed", text)


def top_ups_off(address: str, reason: str) -> Mail:
    """Tells who set them that an account is topped up by itself no more, and why."""
    text = (
        "The saved card of your Gatewayz account could not be charged for a top-up "
        f"({reason}), so nothing is charged by itself any more.\n\nCalls go on while there are "
        "credits. Save another card, then switch it on again: PUT /user/auto-top-up.\n"
    )
    return Mail(address, "Automatic top-ups are switched off", text)


def _way(public_url: str | None, page: str, token: str, call: str) -> str:
    if public_url:
        return f"{public_url.rstrip('/')}/{page}?token={quote(token, safe='')}"
    return f"the token\n\n{token}\n\ngoes to {call}"


def referral_bonus(address: str, amount: str, *, brought: bool) -> Mail:
    """Tells both sides of a referral; `brought` is who brought the other."""
    why = (
        "Somebody who came by your code made a first purchase"
        if brought
        else "You made a first purchase, having come by somebody's code"
    )
    text = (
        f"{why}: {amount} USD were added to your Gatewayz account.\n\n"
        "They are taken back if that purchase is refunded soon.\n"
    )
    return Mail(address, f"{amount} USD were added", text)


def referral_taken_back(address: str, amount: str) -> Mail:
    """Tells both sides that the purchase was refunded."""
    text = (
        f"The purchase that earned you {amount} USD by a referral was refunded, so they were taken "
        "back. What of them was used already is owed by your account until credits come to it.\n"
    )
    return Mail(address, "A referral's credits were taken back", text)


def trial_ending(address: str, ends: str, public_url: str | None) -> Mail:
    """Tells that a trial will end."""
    text = (
        f"Your trial ends on {ends}. What is left of its credits cannot be spent afterwards.\n\n"
        f"To go on, buy credits: {_credits(public_url)}\n\n{_DECLINE}"
    )
    return Mail(address, "Your trial ends soon", text)


def trial_ended(address: str, public_url: str | None) -> Mail:
    """Tells that a trial is over."""
    text = (
        "Your trial has ended, and its credits with it. Your keys stay as they are.\n\n"
        f"To go on, buy credits: {_credits(public_url)}\n\n{_DECLINE}"
    )
    return Mail(address, "Your trial has ended", text)


def credits_ending(address: str, amount: str, ends: str) -> Mail:
    """Tells that credits will expire."""
    text = (
        f"{amount} USD of your credits expire on {ends}: they are spent first, and what is left "
        f"then cannot be spent afterwards.\n\n{_DECLINE}"
    )
    return Mail(address, "Credits of yours expire soon", text)


_DECLINE = (
    'To get no such mails: PUT /user/profile {"preferences": {"email_notifications": false}}\n'
)


def _credits(public_url: str | None) -> str:
    if public_url:
        return f"{public_url.rstrip('/')}/credits"
    return "POST /api/stripe/checkout-session"
