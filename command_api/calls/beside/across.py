"""What sharing with other accounts is to one call that asked for it, and why it is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.kept_replies.across.asked import why_not_shared

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.kept_replies.across.entries import SharedAnswers
    from command_api.kept_replies.cache_wishes import CacheWish
    from command_api.kept_replies.response_cache import CachedReply
    from edge.asgi import ReplyHeaders
    from edge.caller import Caller
    from providers.inference.port import Operation

SHARED = b"x-gatewayz-cache-shared"
MISS, HIT = "miss", "hit"


class Across:
    """Of one call; without a name it has no part in it, and `told` says why."""

    __slots__ = ("_answers", "_name", "told")

    def __init__(self, answers: SharedAnswers | None, name: str, told: str) -> None:
        """Nothing was looked up yet."""
        self._answers, self._name, self.told = answers, name, told

    async def find(self, call: Call, wish: CacheWish) -> CachedReply | None:
        """Another's answer, of an offer that this call could be answered by as well."""
        if self._answers is None or not self._name:
            return None
        offers = {(each.provider, each.public_id) for each in call.plan.offers}
        found = await self._answers.find(self._name, call.id, wish.max_age_s, offers)
        self.told = found.told
        return found.reply

    async def keep(self, caller: Caller, reply: CachedReply, ttl_s: float) -> None:
        """Give an answer to others: one of a call of its own, which was charged."""
        if self._answers is not None and self._name:
            await self._answers.keep(caller, self._name, reply, ttl_s)

    def tell(self, head: ReplyHeaders, *, answered: bool) -> None:
        """What came of it; where the call was answered otherwise, that is no hit."""
        if self.told == HIT and not answered:
            self.told = MISS
        if self._answers is not None:
            self._answers.results[self.told] += 1
        head.more.append((SHARED, self.told.encode()))


def across_of(
    answers: SharedAnswers | None,
    caller: Caller,
    raw: bytes,
    operation: Operation,
    *,
    route: str,
    digest: bytes,
    guarded: bool,
) -> Across:
    """What it is to a checked request whose caller asked for it."""
    if answers is None or not answers.enabled:
        return Across(answers, "", "not_enabled")
    if caller.own_keys:
        return Across(answers, "", "own_provider_key")
    if guarded:
        return Across(answers, "", "guarded")  # What guards took out, or put back, is one's own.
    if why_not := why_not_shared(raw, operation):
        return Across(answers, "", why_not)
    return Across(answers, answers.name_of(route, digest), MISS)
