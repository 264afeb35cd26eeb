"""E-mail addresses: which are accepted, and which two are one.

Two addresses that look alike to a person must not be two users: they are compared after Unicode
compatibility normalisation (NFKC, UAX 15) and case folding, the host as IDNA writes it (RFC 5890),
and an address whose local part or whose host's label mixes scripts is refused (UTS 39, 5.1).
"""

from __future__ import annotations

import unicodedata

from domain.errors import InvalidCommandError

ADDRESS_CHARACTERS_MAX = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 with its two brackets."""
LOCAL_CHARACTERS_MAX = 64
"""RFC 5321, 4.5.3.1.1."""
TOGETHER = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are written side by side in one word; all others stand alone."""

GOOGLE = ("gmail.com", "googlemail.com")
"""Hosts of one mailbox each, of which the second is an older name."""
NEVER = frozenset(' <>()[]\\,;:@"')
"""What stands in no address that is not quoted (RFC 5322, 3.2.3)."""


def comparable(address: str) -> str:
    """What two addresses of one person have in common, whatever the address; never raises."""
    text = unicodedata.normalize("NFKC", address.strip()).casefold()
    local, at, host = text.rpartition("@")
    try:
        return f"{local}{at}{host.encode('idna').decode()}"
    except UnicodeError:
        return text


def person_of(address: str) -> str:
    """What the addresses of one mailbox have in common, as far as it can be told; never raises.

    What stands behind a `+` is the owner's own, at whatever host (RFC 5233 calls it a detail); at
    Google's hosts dots are too. So many people may count as one, but never one mailbox as two.
    """
    local, at, host = comparable(address).rpartition("@")
    local = local.split("+", 1)[0] or local
    if host in GOOGLE:
        local, host = local.replace(".", ""), GOOGLE[0]
    return f"{local}{at}{host}"


def check_address(address: str) -> str:
    """The address as it is kept, without space around it; raises InvalidCommandError."""
    given = address.strip()
    local, at, host = given.rpartition("@")
    if not (
        local
        and at
        and len(given) <= ADDRESS_CHARACTERS_MAX
        and len(local) <= LOCAL_CHARACTERS_MAX
        and all(each.isprintable() and each not in NEVER for each in local + host)
        and _is_host(host)
    ):
        message = f"{given[:ADDRESS_CHARACTERS_MAX]!r} is not an email address"
        raise InvalidCommandError(message)
    for part in (local, *host.split(".")):
        if len(scripts_of(part)) > 1:
            message = (
                f"{given!r} mixes scripts in {part!r}, so that it may look like another address: "
                "register one that does not"
            )
            raise InvalidCommandError(message)
    return given


def _is_host(host: str) -> bool:
    try:
        return bool(host) and bool(host.encode("idna"))
    except UnicodeError:
        return False


def scripts_of(word: str) -> frozenset[str]:
    """The scripts of a word's letters; those that go together count as one."""
    found = {unicodedata.name(each, "?").split()[0] for each in word if each.isalpha()}
    return frozenset("LATIN" if each in TOGETHER else each for each in found)
