"""Who is at a provider, and whose account that opens.

A provider's word links to an account that stands already only where both sides have verified the
address: else whoever registered somebody's address here first would sit in that person's account,
or whoever wrote a strange address there would get into this one.
"""

from __future__ import annotations

from enum import StrEnum

from domain.errors import InvalidCommandError

PATH_CHARACTERS_MAX = 500


class LinkRefusedError(InvalidCommandError):
    """The address is of an account that this does not open."""


class NoAddressError(InvalidCommandError):
    """Nobody can be registered without an address."""


class Way(StrEnum):
    """What is done with somebody who comes from a provider."""

    ENTER = "enter"
    LINK = "link"
    REGISTER = "register"


def way_in(
    *,
    linked: bool,
    address: str | None,
    verified_there: bool,
    known_here: bool,
    verified_here: bool,
) -> Way:
    """The way of somebody, whose address may be known; raises LinkRefusedError, NoAddressError."""
    if linked:
        return Way.ENTER
    if not address:
        message = "the provider gives no address that it has verified: verify one there first"
        raise NoAddressError(message)
    if not known_here:
        return Way.REGISTER
    if verified_there and verified_here:
        return Way.LINK
    side = "here" if verified_there else "at the provider"
    message = (
        f"an account with this address exists, and the address is not verified {side}: sign in as "
        "before, or verify it first"
    )
    raise LinkRefusedError(message)


def check_return_path(path: str) -> str:
    """A path of our own address to go back to; raises InvalidCommandError for anything else.

    Browsers read `//` and a backslash as the begin of another host (WHATWG URL, 4.4).
    """
    if not (
        path.startswith("/")
        and not path.startswith("//")
        and path.isascii()
        and path.isprintable()
        and not set(path) & set('\\ "<>')
        and len(path) <= PATH_CHARACTERS_MAX
    ):
        message = f"a path begins with one slash, and has at most {PATH_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    return path
