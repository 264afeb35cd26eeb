"""Lines of a batch under re-rating, as the gateway wrote them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from command_api.money.rerating import Rerating, Wanted
from projections.catalog.catalog_offers import read_price
from projections.engine.projection import select_on
from tests.command_api.batches.making import Customer, answers, line
from tests.support.harness import eventually, running_gateway
from tests.support.rated_calls import tell_prices, version

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

OFFER = ("local", "m")
DEARER = {"input_per_million": "0.30", "output_per_million": "1.20"}
WHOLE_NANO_USD = 10 * 300 + 5 * 1_200
"""What a call costs at twice its price."""


def rerated(database: Database, version: str) -> Rerating:
    """All calls of the model by a version of its price."""
    until = datetime.now(UTC) + timedelta(seconds=1)
    return Rerating(database, Wanted("org/m", datetime(2020, 1, 1, tzinfo=UTC), until, version))


def published(database: Database, price: str) -> bool:
    """Whether the catalog has a version of a price."""
    with database.connect() as connection:
        return read_price(select_on(connection), price) is not None


def quiet(_: int, __: int) -> None:
    """Nobody looks."""


def test_a_line_keeps_its_half_price_when_the_price_was_wrong(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """By the price that it was called at nothing changes; by one twice as dear it pays the half of
    that, once (money rule 12, money rule 17).
    """
    upstream.answer = answers
    with running_gateway(database, tmp_path, upstream, batch_price_percent=50) as served:
        customer = Customer(served, served.user())
        done = customer.run(line("a"))
        told = customer.lines_of(done.output_file_id)["a"]["response"]["request_id"]
        plain = served.chat(customer.user, {})
        called_at = served.story(customer.user, plain)["price"]["version"]
        tell_prices(database, DEARER, offer=OFFER)
        eventually(lambda: published(database, version(DEARER, OFFER)))
        plan = rerated(database, called_at).plan(quiet)
        assert (plan.calls, plan.unchanged, plan.whole.calls) == (2, 2, 0)
        dearer = rerated(database, version(DEARER, OFFER))
        posted = dearer.post(reason="wrong", actor="test", report=quiet)
        assert (posted.posted, posted.whole.new) == (2, WHOLE_NANO_USD * 3 // 2)
        with served.client(customer.user) as client:
            story = client.get(f"/v1/calls/{told}").json()
        assert story["charged_nano_usd"] == WHOLE_NANO_USD // 2
        (correction,) = story["corrections"]
        assert correction["cost_nano_usd"] == WHOLE_NANO_USD // 2
        assert served.story(customer.user, plain)["charged_nano_usd"] == WHOLE_NANO_USD
        again = rerated(database, version(DEARER, OFFER)).plan(quiet)
        assert (again.corrected_before, again.whole.calls) == (2, 0)
        served.verified()
