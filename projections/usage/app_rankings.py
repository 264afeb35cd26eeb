"""`app_rankings`: which apps (as callers name themselves) call most, by day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.engine.tables import Table, counts, key, sums
from projections.usage.rankings import Ranking

if TYPE_CHECKING:
    from domain.events.ledger import HoldSettled
    from projections.engine.projection import Select

APP_DAY = Table(
    name="app_day",
    about="Charged calls of an app on a day.",
    columns=(key("day", "date"), key("app", "text"), *counts("requests"), *sums("tokens")),
)
APP_DAY_USER = Table(
    name="app_day_user",
    about="Charged calls of one account through an app on a day.",
    columns=(
        key("day", "date"),
        key("app", "text"),
        key("account_id", "uuid"),
        *counts("requests"),
    ),
    members=2,
)


class AppRankings(Ranking):
    """See the module."""

    name = "app_rankings"
    about = "Apps by requests, tokens and users."
    counters, users = APP_DAY, APP_DAY_USER
    tables = (APP_DAY, APP_DAY_USER)
    revision = 2

    def subject(self, event: HoldSettled) -> tuple[str, ...] | None:
        """The app, when the caller named one."""
        return (event.app,) if event.app else None


def read_app_names(select: Select, app_ids: list[str]) -> dict[str, str]:
    """What apps call themselves, of those that are known and not deleted.

    Older charges have the name itself where newer ones have what stands for it.
    """
    rows = select("SELECT app_id, name FROM app_name WHERE app_id = ANY (%s)", [app_ids])
    return {str(app_id): str(name) for app_id, name in rows}
