"""Passwords, hashed with Argon2id (RFC 9106) on threads of their own."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edge.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Container

WAITING_MAX = 50
"""Most passwords that wait for a thread; more are answered 503."""
TIME_COST, MEMORY_KIB, LANES = 2, 19_456, 1
"""OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane."""
COMMON_CHARACTERS_MIN = 8
"""Shorter ones are refused for their length."""

_common: frozenset[str] | None = None
_reading = threading.Lock()


def common_passwords() -> Container[str]:
    """The passwords that are tried first, in lower case: those that zxcvbn counts as common."""
    global _common  # noqa: PLW0603 - read once in a process, by the first who registers.
    with _reading:
        if _common is None:
            # Its lists take a moment and some memory, of which only this part is kept.
            from zxcvbn.frequency_lists import FREQUENCY_LISTS

            listed = FREQUENCY_LISTS["passwords"]
            _common = frozenset(each for each in listed if len(each) >= COMMON_CHARACTERS_MIN)
    return _common


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(TIME_COST, MEMORY_KIB, LANES)


@cache
def _nobody() -> str:
    """A hash that takes as long to compare with as any; made once, for it takes long to make."""
    return _hasher().hash("the password of nobody")


class Passwords:
    """Hashes and compares; one for each process."""

    def __init__(self, threads: int) -> None:
        """So many at once."""
        self._hasher = _hasher()
        self._lane = Lane("passwords", threads=threads, waiting_max=WAITING_MAX)
        self._nobody = _nobody()

    async def hashed(self, password: str) -> str:
        """The hash, with its parameters and salt. Raises ApiError 503 when too many wait."""
        return await self._lane.run(self._hasher.hash, password)

    async def fits(self, known: str | None, password: str) -> bool:
        """Whether it is the one that was hashed; of nobody it takes as long, and is not."""
        fits = await self._lane.run(self._verify, known or self._nobody, password)
        return fits and known is not None

    def outdated(self, known: str) -> bool:
        """Whether a hash was made with other parameters than are used today."""
        return self._hasher.check_needs_rehash(known)

    def close(self) -> None:
        """Begin nothing more."""
        self._lane.close()

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False
