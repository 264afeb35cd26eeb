"""What a login provider is, and what it says of somebody."""

from __future__ import annotations

from typing import NamedTuple, Protocol

TEXT_MAX = 320
"""Longest subject, name or address that is taken from a provider."""

AWAY_S = 3.0
"""How long a provider that did not answer is not asked again: who comes meanwhile need not wait."""


class Identity(NamedTuple):
    """Who somebody is at a provider; `verified` is the provider's word about the address."""

    provider: str
    subject: str
    address: str | None
    verified: bool
    name: str | None = None


class Asked(NamedTuple):
    """One sign-in under way: what binds the provider's answer to our question."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class LoginRefusedError(Exception):
    """The provider's word does not hold; the message says why, and nothing of anybody."""


class LoginUnavailableError(Exception):
    """The provider is away, or answers what cannot be read: try again."""


class LoginProvider(Protocol):
    """Somebody who knows who people are."""

    name: str

    async def address_to_ask(self, asked: Asked) -> str:
        """Where the browser goes; raises LoginUnavailableError."""
        ...

    async def who(self, code: str, asked: Asked) -> Identity:
        """Who came back with a code; raises LoginRefusedError or LoginUnavailableError."""
        ...


def text_of(value: object) -> str | None:
    """A short text that a provider gave; None for anything else."""
    if isinstance(value, str) and 0 < len(value) <= TEXT_MAX and value.isprintable():
        return value
    return None
