"""What a search unit is, by which reranks are billed (Cohere, "Pricing" and "Rerank").

One is a query with up to a hundred documents. A document that is longer than 500 tokens, those of
the query counted with it, is split into chunks, and each of them counts as a document. A query
fills at most half of a chunk (Cohere, "Best practices for using Rerank"), the document the rest.
Keeps money rules 2 and 6: the same rule bounds a hold and counts what no provider told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.pricing.plausible import MARGIN_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENTS_PER_SEARCH = 100
CHUNK_TOKENS = 500
QUERY_TOKENS_MAX = CHUNK_TOKENS // 2


def search_units(query_tokens: int, documents: Iterable[int]) -> int:
    """The search units of a query with documents of so many tokens; at least one.

    It never falls when any of the tokens are more, so a bound of tokens bounds the units.
    """
    room = CHUNK_TOKENS - min(query_tokens, QUERY_TOKENS_MAX)
    chunks = sum(max(1, -(-tokens // room)) for tokens in documents)
    return max(1, -(-chunks // DOCUMENTS_PER_SEARCH))


def units_can_be(reported: int, bound: int) -> bool:
    """Whether a provider's count is believed: at least one, at most a quarter above the bound."""
    return 1 <= reported <= bound + bound // MARGIN_SHARE
