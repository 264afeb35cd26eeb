"""The secret itself: its shape, what may be shown of it, and whose it is while a call uses it."""

from __future__ import annotations

from domain.errors import InvalidCommandError

SECRET_CHARACTERS_MIN = 16
"""What is shorter is no provider's key; a hint would give too much of it away."""
SECRET_CHARACTERS_MAX = 1_024
HINT_CHARACTERS = 4
FIRST_VISIBLE, LAST_VISIBLE = "!", "~"
"""Printable ASCII without the space: what may stand in a header behind `Bearer ` (RFC 7230)."""


class OwnKey:
    """A provider key as a call uses it. It is told apart by identity, and tells nobody its secret.

    Without a `secret` it cannot be opened any more, and calls that would use it are refused.
    """

    __slots__ = ("__weakref__", "fallback", "hint", "id", "provider", "secret")

    def __init__(
        self, key_id: str, provider: str, *, secret: str, hint: str, fallback: bool
    ) -> None:
        """`fallback` says whether the house's own key may follow where it gives no answer."""
        self.id, self.provider, self.hint = key_id, provider, hint
        self.secret, self.fallback = secret, fallback

    def __repr__(self) -> str:
        """Without the secret."""
        return f"OwnKey({self.id}, {self.provider}, ...{self.hint})"


def check_secret(secret: str) -> str:
    """A secret that may stand in a header; raises InvalidCommandError, which does not quote it."""
    secret = secret.strip(" ")
    if not SECRET_CHARACTERS_MIN <= len(secret) <= SECRET_CHARACTERS_MAX:
        message = (
            f"key: a provider's key has {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} "
            "characters"
        )
        raise InvalidCommandError(message)
    if not all(FIRST_VISIBLE <= each <= LAST_VISIBLE for each in secret):
        message = (
            "key: a provider's key is printable ASCII without spaces or line breaks: a JSON file "
            "or several secrets are not taken"
        )
        raise InvalidCommandError(message)
    return secret


def hint_of(secret: str) -> str:
    """What is shown of it."""
    return secret[-HINT_CHARACTERS:]
