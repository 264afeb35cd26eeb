"""What an API key says of the cache: whether its calls are opted in, and how.

A request may say otherwise. It stands in events as an object; one without members opts nobody in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

TTL, MAX_AGE = "ttl_s", "max_age_s"
SECONDS_MAX = 31_536_000
"""A year: longer than that no answer is kept."""


@dataclass(frozen=True, slots=True)
class KeyCache:
    """How the calls of a key use the cache; times in seconds."""

    ttl_s: int
    """How long their answers are kept, at most as long as the operator allows."""
    max_age_s: int | None = None
    """How old an answer may be that they get; None for any that is still kept."""


def read_key_cache(given: Mapping[str, Any]) -> dict[str, Any]:
    """The wish of a key as events carry it; one that is empty opts its calls out.

    Raises InvalidCommandError that names the member.
    """
    unknown = given.keys() - {TTL, MAX_AGE}
    if unknown:
        message = f"cache has no {min(unknown)[:80]!r}: it has {TTL} and {MAX_AGE}"
        raise InvalidCommandError(message)
    if not given:
        return {}
    found = {TTL: _seconds(TTL, given.get(TTL), least=1)}
    if given.get(MAX_AGE) is not None:
        found[MAX_AGE] = _seconds(MAX_AGE, given[MAX_AGE], least=0)
    return found


def key_cache_of(stated: Mapping[str, Any] | None) -> KeyCache | None:
    """What `read_key_cache` gave; None where calls are not opted in."""
    if not stated:
        return None
    return KeyCache(ttl_s=stated[TTL], max_age_s=stated.get(MAX_AGE))


def _seconds(name: str, given: Any, *, least: int) -> int:
    if type(given) is not int or not least <= given <= SECONDS_MAX:
        message = f"cache.{name} is a whole number of seconds, {least} to {SECONDS_MAX}"
        raise InvalidCommandError(message)
    return given
