"""What an API key says of the cache: whether its calls are opted in, and how.

A request may say otherwise. It stands in events as an object; one without members opts nobody in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

TTL, MAX_AGE, SEMANTIC, SHARED = "ttl_s", "max_age_s", "semantic", "shared"
THRESHOLD, SCOPE = "threshold", "scope"
SECONDS_MAX = 31_536_000
"""A year: longer than that no answer is kept."""
SHOWN_CHARACTERS = 80
"""So much of what is wrong is repeated."""
PARTS = 10_000
"""A similarity of 1 in the parts that thresholds are whole numbers of."""
_THRESHOLD = re.compile(r"0\.[5-9][0-9]{0,3}|1(\.0{1,4})?", re.ASCII)


class Scope(StrEnum):
    """Whose answers are compared with a request."""

    KEY = "key"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Semantic:
    """How calls are answered with the answer to nearly the same text."""

    threshold: int | None = None
    """The least similarity in ten-thousandths; None for the operator's."""
    scope: Scope = Scope.KEY


@dataclass(frozen=True, slots=True)
class KeyCache:
    """How the calls of a key use the cache; times in seconds."""

    ttl_s: int
    """How long their answers are kept, at most as long as the operator allows."""
    max_age_s: int | None = None
    """How old an answer may be that they get; None for any that is still kept."""
    semantic: Semantic | None = None
    """None where nothing but the same request is answered again."""
    shared: bool = False
    """Whether their answers may be given to other accounts, and others' to them."""


def read_key_cache(given: Mapping[str, Any]) -> dict[str, Any]:
    """The wish of a key as events carry it; one that is empty opts its calls out.

    Raises InvalidCommandError that names the member.
    """
    _check_names("cache", given, (TTL, MAX_AGE, SEMANTIC, SHARED))
    if not given:
        return {}
    found: dict[str, Any] = {TTL: _seconds(TTL, given.get(TTL), least=1)}
    if given.get(MAX_AGE) is not None:
        found[MAX_AGE] = _seconds(MAX_AGE, given[MAX_AGE], least=0)
    if given.get(SEMANTIC) is not None:
        found[SEMANTIC] = _semantic(given[SEMANTIC])
    shared = given.get(SHARED)
    if shared is not None and type(shared) is not bool:
        message = f"cache.{SHARED} is true or false"
        raise InvalidCommandError(message)
    if shared:
        found[SHARED] = True
    return found


def key_cache_of(stated: Mapping[str, Any] | None) -> KeyCache | None:
    """What `read_key_cache` gave; None where calls are not opted in."""
    if not stated:
        return None
    semantic = stated.get(SEMANTIC)
    if semantic is not None:
        threshold = semantic.get(THRESHOLD)
        least = None if threshold is None else threshold_parts(threshold)
        semantic = Semantic(least, Scope(semantic.get(SCOPE, Scope.KEY)))
    return KeyCache(
        ttl_s=stated[TTL],
        max_age_s=stated.get(MAX_AGE),
        semantic=semantic,
        shared=stated.get(SHARED) is True,
    )


def threshold_parts(text: str) -> int | None:
    """A threshold of 0.5 to 1 in ten-thousandths; None for a text that is none."""
    if _THRESHOLD.fullmatch(text) is None:
        return None
    whole, _, parts = text.partition(".")
    return int(whole) * PARTS + int(parts.ljust(4, "0"))


def _semantic(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        message = f"cache.{SEMANTIC} is an object with {THRESHOLD} and {SCOPE}, or with neither"
        raise InvalidCommandError(message)
    _check_names(f"cache.{SEMANTIC}", given, (THRESHOLD, SCOPE))
    found = {SCOPE: given.get(SCOPE, str(Scope.KEY))}
    if found[SCOPE] not in tuple(Scope):
        message = f"cache.{SEMANTIC}.{SCOPE} is {' or '.join(Scope)}"
        raise InvalidCommandError(message)
    threshold = given.get(THRESHOLD)
    if threshold is not None:
        if not isinstance(threshold, str) or threshold_parts(threshold) is None:
            message = (
                f"cache.{SEMANTIC}.{THRESHOLD} is a text of 0.5 to 1 with at most four places, as "
                '"0.95"'
            )
            raise InvalidCommandError(message)
        found[THRESHOLD] = threshold
    return found


def _check_names(of: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        message = f"{of} has no {unknown[0][:SHOWN_CHARACTERS]!r}: it has {', '.join(known)}"
        raise InvalidCommandError(message)


def _seconds(name: str, given: Any, *, least: int) -> int:
    if type(given) is not int or not least <= given <= SECONDS_MAX:
        message = f"cache.{name} is a whole number of seconds, {least} to {SECONDS_MAX}"
        raise InvalidCommandError(message)
    return given
