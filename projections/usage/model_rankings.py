"""`model_rankings`: which models were used most, by requests, tokens and users of a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.engine.tables import Table, counts, key, sums
from projections.usage.rankings import Ranking

if TYPE_CHECKING:
    from domain.events.ledger import HoldSettled

MODEL_DAY = Table(
    name="model_day",
    about="Charged calls of a model on a day.",
    columns=(
        key("day", "date"),
        key("provider", "text"),
        key("model", "text"),
        *counts("requests"),
        *sums("tokens"),
    ),
    members=2,
)
MODEL_DAY_USER = Table(
    name="model_day_user",
    about="Charged calls of one account with a model on a day.",
    columns=(
        key("day", "date"),
        key("provider", "text"),
        key("model", "text"),
        key("account_id", "uuid"),
        *counts("requests"),
    ),
    members=3,
)


class ModelRankings(Ranking):
    """See the module."""

    name = "model_rankings"
    about = "Models by requests, tokens and users."
    counters, users = MODEL_DAY, MODEL_DAY_USER
    tables = (MODEL_DAY, MODEL_DAY_USER)
    revision = 2

    def subject(self, event: HoldSettled) -> tuple[str, ...]:
        """Provider and model."""
        return (event.provider, event.model)
