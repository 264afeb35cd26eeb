"""Which passwords are taken (NIST SP 800-63B, 3.1.1.2: long enough, not common, not the name)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Container

PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 256


def check_password(password: str, address: str, common: Container[str]) -> None:
    """Raises InvalidCommandError, saying why; `common` are known passwords in lower case."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        message = (
            f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters"
        )
        raise InvalidCommandError(message)
    plain = password.casefold()
    if plain in common or len(set(plain)) == 1:
        message = "this password is on the lists that are tried first: choose another one"
        raise InvalidCommandError(message)
    if plain in {address.casefold(), address.casefold().rpartition("@")[0]}:
        message = "the password is the address itself: choose another one"
        raise InvalidCommandError(message)
