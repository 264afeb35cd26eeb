"""The columns of providers' exports, and how each writes days, models and amounts.

Sources, as of 2026, and the rows of each:
- OpenRouter, "Activity export" (openrouter.ai/docs/guides/guides/activity-export): a generation;
- OpenAI, the Usage dashboard's export of costs, whose columns are those of its Costs API
  (platform.openai.com/docs/api-reference/usage/costs): a day and what it is grouped by;
- Anthropic, "Cost and usage reporting in the Claude Console" (support.claude.com, article 9534590),
  the export of costs: a day, a model and a kind of token.
The names of columns were compared with exports that people published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
"""The date of a snapshot, which one side names and the other does not."""
PARTED = re.compile(r"[\s._]+")
USD = "usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One export: the names of the columns that are read; all of them must be there."""

    name: str
    day: str
    amount: str
    model: str
    currency: str | None = None
    """The column of the currency; without one amounts are USD."""
    row_id: str | None = None
    """The column that names a row once; without one the whole row does."""
    tail: str = ""
    """What divides a model from what of it was billed, in one cell."""
    blank: bool = False
    """Whether a row without an amount says that nothing was billed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What a header must have."""
        named = (self.day, self.amount, self.model, self.currency, self.row_id)
        return tuple(each for each in named if each is not None)

    def model_key(self, cell: str) -> str:
        """What a cell names, in the form in which both sides are compared."""
        return key_of(cell.split(self.tail, maxsplit=1)[0] if self.tail else cell)


FORMATS = (
    Format(
        name="openrouter",
        day="created_at",
        amount="cost_total",
        model="model_permaslug",
        row_id="generation_id",
    ),
    Format(
        name="openai",
        day="start_time_iso",
        amount="amount_value",
        model="line_item",
        currency="amount_currency",
        tail=",",
        blank=True,
    ),
    Format(name="anthropic", day="usage_date_utc", amount="cost_usd", model="model"),
)


def key_of(model: str) -> str:
    """A model's name without what providers write differently in its invoices.

    Letters in lower case, one hyphen for spaces, points and underscores, no date at the end:
    `Claude Haiku 4.5` is `claude-haiku-4-5-20251001`.
    """
    return DATED.sub("", PARTED.sub("-", model.strip().lower()))
