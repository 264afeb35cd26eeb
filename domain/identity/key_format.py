"""How an API key is written, so that a leaked one can be told from other text without asking us.

`gw_{environment}_` and 43 characters of the URL-safe base64 alphabet (RFC 4648, section 5): 37
that are random (222 bits), and six that are the CRC-32 of all before them, most significant
first. Keys of releases before this form have 43 random characters; they go on to work.
"""

from __future__ import annotations

import re
import zlib
from enum import StrEnum

from domain.errors import InvalidCommandError


class Environment(StrEnum):
    """What a key is for; it stands in the key."""

    LIVE = "live"
    TEST = "test"
    STAGING = "staging"
    DEVELOPMENT = "development"


SECRET_CHARACTERS = 37
CHECKSUM_CHARACTERS = 6
MASK_SHOWN = 4
KEY_CHARACTERS_MAX = len("gw_staging_") + SECRET_CHARACTERS + CHECKSUM_CHARACTERS

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_IN_KEY = {Environment.DEVELOPMENT: "dev"}
KEY_PATTERN = r"gw_(live|test|staging|dev)_[A-Za-z0-9_-]{43}"
"""What every key looks like, as a regular expression."""
_KEY = re.compile(KEY_PATTERN)


def key_of_secret(secret: str, environment: Environment) -> str:
    """A whole key from its random part, which must have 37 characters of the alphabet."""
    if len(secret) != SECRET_CHARACTERS or not set(secret) <= set(_ALPHABET):
        message = f"the secret of a key has {SECRET_CHARACTERS} URL-safe characters"
        raise InvalidCommandError(message)
    begun = f"gw_{_IN_KEY.get(environment, environment)}_{secret}"
    return begun + _checksum(begun)


def is_key(text: str) -> bool:
    """Whether a text is a key by its form and its checksum."""
    return _KEY.fullmatch(text) is not None and text.endswith(
        _checksum(text[:-CHECKSUM_CHARACTERS])
    )


def mask_key(api_key: str) -> str:
    """The part of a key that may be shown again: its prefix and last four characters."""
    prefix = "_".join(api_key.split("_", 2)[:2])
    return f"{prefix}_...{api_key[-MASK_SHOWN:]}"


def _checksum(begun: str) -> str:
    number = zlib.crc32(begun.encode())
    shifts = range(6 * (CHECKSUM_CHARACTERS - 1), -1, -6)
    return "".join(_ALPHABET[number >> shift & 63] for shift in shifts)
