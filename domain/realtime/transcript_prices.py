"""The price of a session whose input another model writes down: both models' terms in one. Pure.

A call cites one price, stated at its hold (money rule 12). So the second model's price stands in
it as prices of uses, which a settlement counts beside its tokens, and which whoever checks the
call knows already. A minute's sixtieth is a second as everywhere (`domain/pricing/audio.py`).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

from domain.pricing.audio import second_rate
from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PRICE_DECIMALS_MAX, PriceTerms
from domain.pricing.uses import (
    HEARD_AUDIO,
    HEARD_MILLISECONDS,
    HEARD_OUTPUT,
    HEARD_TEXT,
    TERM_OF_USE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NANO = Decimal("1e-9")
PER_THOUSAND_FROM_PER_MILLION = Decimal("1e-3")
RATE_OF = {
    HEARD_TEXT: "input_per_million",
    HEARD_AUDIO: "audio_input_per_million",
    HEARD_OUTPUT: "output_per_million",
}
"""Tokens of a transcript and the terms of the model that makes it, with their fallbacks."""
_EXACT = Context(prec=64, rounding=ROUND_HALF_EVEN)
_LEAST = Decimal(1).scaleb(-PRICE_DECIMALS_MAX)


def transcript_terms(heard: PriceVersion) -> Mapping[str, str] | None:
    """A model's price as that of transcripts in a session, USD for a thousand of each.

    None where it cannot be: no price by the minute nor of tokens, or one that depends on what a
    single request is, as tiers by length and a price of a request do.
    """
    terms = heard.terms
    if terms.tiers or terms.per_request:
        return None
    if heard.counts_seconds:
        assert terms.per_minute is not None
        return {TERM_OF_USE[HEARD_MILLISECONDS]: _text(second_rate(terms.per_minute) * NANO)}
    if not heard.counts_tokens:
        return None
    rates = terms.at(0)
    return {
        TERM_OF_USE[name]: _text(rates[term] * PER_THOUSAND_FROM_PER_MILLION)
        for name, term in RATE_OF.items()
    }


def with_transcripts(
    provider: str, model: str, voice: PriceVersion, heard: PriceVersion
) -> PriceVersion | None:
    """The price of a session of `voice` with transcripts by `heard`; None where there is none."""
    more = transcript_terms(heard)
    if more is None:
        return None
    terms = {**voice.terms.as_strings(), **more}
    source = f"{voice.source}; transcripts by {heard.version}"
    return PriceVersion(
        version=version_of(provider, model, source, terms),
        source=source,
        effective_at=max(voice.effective_at, heard.effective_at),
        terms=PriceTerms.parse(terms),
    )


def _text(value: Decimal) -> str:
    if -int(value.as_tuple().exponent) > PRICE_DECIMALS_MAX:
        value = value.quantize(_LEAST, context=_EXACT)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
