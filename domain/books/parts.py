"""What entries of the books are made of."""

from __future__ import annotations

from typing import NamedTuple

STRIPE, MANUAL = "clearing:stripe", "clearing:manual"


class Part(NamedTuple):
    """A part of a posting (`of`), or an entry of the books alone where that is empty."""

    of: str
    account: str
    amount_nano_usd: int
