"""Which reports of usage can be: the named maxima of what one call may have used (money rule 6).

A provider's count is believed up to here, and beyond it our own count stands in. Keeps P1: no
report is believed that costs more than an entry of the ledger can be, whatever the price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.pricing.money import ENTRY_NANO_USD_MAX
from domain.pricing.rates import NANO_PER_TOKEN_FROM_USD_PER_MILLION
from domain.pricing.terms import PRICE_USD_MAX
from domain.pricing.usage import REPORTED_TOKENS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.prices import PriceVersion
    from domain.pricing.usage import Usage

MARGIN_SHARE = 4
MARGIN_TOKENS = 64
"""Models' lengths are told roundly, and providers add tokens of their own: a quarter, and this."""

COSTLY_TOKENS = ENTRY_NANO_USD_MAX // (PRICE_USD_MAX * NANO_PER_TOKEN_FROM_USD_PER_MILLION)
"""Up to here not even the dearest tokens cost more than an entry can be: 1,000,000 of them."""


class UsageMaxima(NamedTuple):
    """The most tokens that a call can have used. `answer_tokens` are output without reasoning."""

    input_tokens: int
    output_tokens: int
    answer_tokens: int

    @classmethod
    def of(
        cls,
        *,
        context_length: int | None,
        max_output_tokens: int | None,
        requested: int | None,
        unknown_tokens: int,
        prompts: int = 1,
        choices: int = 1,
    ) -> UsageMaxima:
        """From what is known of the model and the request; `unknown_tokens` where nothing is.

        `requested` is the caller's own maximum for each choice. Reasoning may pass it, up to what
        the model can: some providers count only the answer against it (measured at xAI and
        OpenRouter).
        """
        most = max_output_tokens or context_length or unknown_tokens
        output = _with_margin(max(most, requested or 0), choices)
        return cls(
            input_tokens=_with_margin(context_length or unknown_tokens, prompts),
            output_tokens=output,
            answer_tokens=output if requested is None else _with_margin(requested, choices),
        )

    def allow(self, usage: Usage) -> bool:
        """Whether so much can have been used."""
        return (
            0 <= usage.input_tokens <= self.input_tokens
            and 0 <= usage.output_tokens <= self.output_tokens
            and usage.output_tokens - usage.reasoning_tokens <= self.answer_tokens
        )


def _with_margin(tokens: int, times: int) -> int:
    most = tokens * times
    return min(most + most // MARGIN_SHARE + MARGIN_TOKENS, REPORTED_TOKENS_MAX)


def believed(
    report: Usage | None,
    maxima: UsageMaxima,
    price: PriceVersion,
    *,
    made: Callable[[], int],
    estimate: Callable[[int], Usage],
    least: tuple[int, int] = (1, 1),
) -> Usage:
    """The provider's report where it can be, else our own count, marked for what it replaces.

    `least` is the input and output that a report tells beside anything made. `made` counts the
    output that was received, and is asked only where that decides.
    """
    if report is None:
        return estimate(made())
    enough = report.input_tokens >= least[0] and report.output_tokens >= least[1]
    payable = (
        report.input_tokens + report.output_tokens <= COSTLY_TOKENS
        or price.cost(report).nano_usd <= ENTRY_NANO_USD_MAX
    )
    if payable and maxima.allow(report) and (enough or not made()):
        return report
    return estimate(made())._replace(implausible=True)
