"""How much a stream may still make: watched as it goes, whoever set its maximum (money rule 2).

Keeps P1: what nobody asked for is cut, and what the hold does not cover is held for or ends. That
goes for reasoning beside an answer's maximum too, which some providers do not count against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.calls.call import OUTPUT_TOKENS_UNKNOWN

if TYPE_CHECKING:
    from command_api.calls.attempts import StreamAttempt
    from command_api.calls.call import Call
    from command_api.calls.cashier import Cashier

EXTEND_AT_REMAINING_SHARE = 4
"""A stream extends its hold when less than a quarter of its default bound is left."""
RAW_BYTES_PER_TOKEN_MIN = 2
COUNT_BYTES_MIN = 1_024
COUNT_FACTOR_MAX = 4
COUNT_TOKENS_SPARE = 64
"""Our own count of an answer is at most so many times the provider's, and this: Indic scripts and
long runs of spaces come near it. Whoever obeys a maximum is never cut.
"""
OWN_COUNT_SHARE = 4
"""Beside a maximum our own count may be a quarter above what is held before more is: a provider
that counts reasoning against the maximum needs no more, and whoever obeys should not be cut.
"""


class StreamBound:
    """The bound of one stream, from its first output on."""

    def __init__(self, call: Call, won: StreamAttempt, cashier: Cashier, *, more: int) -> None:
        """`more` is what an extension holds for, in tokens of each choice."""
        self._call, self._won, self._cashier = call, won, cashier
        model, choices = call.model, call.request.choices
        self._more = more * choices
        whole = (model.max_output_tokens or OUTPUT_TOKENS_UNKNOWN) * choices
        limit = won.attempt.limit
        self._whole = whole
        self._answer_max = _with_margin(whole if limit is None else limit)
        self._output_max = _with_margin(max(whole, limit or 0))
        # A provider that was told the maximum needs no more for its answer than is held for it.
        self._answer_held = call.bound_tokens
        self._limited = limit is not None
        self._extendable = call.bound.extendable
        self._extend_at = (
            call.bound_tokens + call.bound_tokens // OWN_COUNT_SHARE
            if self._limited
            else call.bound_tokens - call.bound_tokens // EXTEND_AT_REMAINING_SHARE
        )

    @property
    def passed(self) -> bool:
        """Whether more came than any provider makes that knows its maximum."""
        scanner = self._won.scanner
        left = min(
            self._answer_max - scanner.answer_tokens, self._output_max - scanner.output_tokens
        )
        few = max(COUNT_BYTES_MIN, left * RAW_BYTES_PER_TOKEN_MIN)
        if left >= 0 and scanner.uncounted_bytes < few:
            return False
        scanner.count()
        return scanner.answer_tokens > self._answer_max or scanner.output_tokens > self._output_max

    def within(self, out: bytes) -> bytes:
        """Of the piece that passed the bound, what may still reach the caller."""
        return self._won.scanner.within(out, self._answer_max)

    async def covered(self) -> bool:
        """Whether the hold still covers what comes; extends it when the bound is near."""
        if self._limited:
            return await self._reasoning_covered()
        if not self._extendable:
            return True
        call, scanner = self._call, self._won.scanner
        left = call.bound_tokens - scanner.output_tokens
        if scanner.uncounted_bytes < max(COUNT_BYTES_MIN, left * RAW_BYTES_PER_TOKEN_MIN):
            return True
        if scanner.count() < self._extend_at:
            return True
        more, limit = self._more, call.model.max_output_tokens
        if limit is not None:
            more = min(more, limit * call.request.choices - call.bound_tokens)
        if more <= 0:
            self._extendable = False
            return True
        self._extend_at += more
        return await self._cashier.extend(call, more)

    async def _reasoning_covered(self) -> bool:
        """The same beside a maximum: only reasoning may pass what is held, and is held for."""
        call, scanner = self._call, self._won.scanner
        charged = self._charged_tokens()
        left = self._extend_at - charged
        if left >= 0:
            if scanner.uncounted_bytes < max(COUNT_BYTES_MIN, left * RAW_BYTES_PER_TOKEN_MIN):
                return True
            scanner.count()
            charged = self._charged_tokens()
            if charged <= self._extend_at:
                return True
        room = max(self._whole - call.bound_tokens, self._whole // EXTEND_AT_REMAINING_SHARE)
        least = charged - call.bound_tokens + COUNT_TOKENS_SPARE
        # Rather a little than nothing, where the credits do not cover more.
        for more in sorted({max(least, min(self._more, room)), least}, reverse=True):
            if await self._cashier.extend(call, more):
                self._extend_at += more
                return True
        return False

    def _charged_tokens(self) -> int:
        """What is charged for, as far as it is counted: all reasoning, and the answer as held."""
        scanner = self._won.scanner
        reasoning = scanner.output_tokens - scanner.answer_tokens
        return reasoning + min(scanner.answer_tokens, self._answer_held)


def _with_margin(tokens: int) -> int:
    return tokens * COUNT_FACTOR_MAX + COUNT_TOKENS_SPARE
