"""Settled calls of a model rated by another version of its price, and corrected once by it.

The log is read in pages, and nothing of a page is kept but sums by account. What was corrected
before is found in the log, so a run that ended in the middle is done again from its beginning.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from command_api.money.corrections import Correction, UncorrectableError, append_correction
from command_api.money.grants import running_committer
from command_api.money.lines import PricesOfCalls
from domain.errors import InvalidCommandError
from domain.events.ledger import ChargeCorrected, HoldSettled
from domain.ledger.rerating import NotRated, Rated, Why, rate
from domain.pricing.charges import Prices
from domain.pricing.money import EXACT
from event_store.log.reading import position_before, read_of_streams, read_topics_after
from projections.catalog.catalog_offers import read_offers_named, read_price
from projections.engine.projection import select_on

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from datetime import datetime

    from domain.pricing.prices import PriceVersion
    from event_store.append.committer import Committer
    from event_store.postgres.database import Database
    from projections.catalog.catalog_offers import PublishedPrice

    Report = Callable[[int, int], None]
    Page = list[tuple[HoldSettled, Rated | NotRated]]

PAGE_CALLS = 1_000
"""Calls that are read, rated and corrected before the next are looked at."""
AT_ONCE = 128
"""Corrections that wait for the append at the same time."""
NAMED_MAX = 1_000
"""Calls that are not rated and named one by one; beyond, they are only counted."""


class NoSuchPriceError(InvalidCommandError):
    """The price version was never published, or is another model's."""


class Wanted(NamedTuple):
    """Calls of a model that were settled in a time, and the price that they are rated by."""

    model: str
    since: datetime
    until: datetime
    version: str


@dataclass(slots=True)
class Sums:
    """Calls that are corrected, and their figures in nano-USD; the exact ones are not rounded."""

    calls: int = 0
    old: int = 0
    new: int = 0
    charged: int = 0
    old_exact: Decimal = field(default_factory=Decimal)
    new_exact: Decimal = field(default_factory=Decimal)

    def add(self, call: Rated) -> None:
        """Count a call."""
        self.calls += 1
        self.old += call.old
        self.new += call.new
        self.charged += call.charge
        self.old_exact = EXACT.add(self.old_exact, Decimal(call.old_exact))
        self.new_exact = EXACT.add(self.new_exact, Decimal(call.new_exact))


class NotRatedCall(NamedTuple):
    """A call that stays as it is."""

    call_id: UUID
    account_id: str
    why: Why
    said: str


@dataclass(slots=True)
class Plan:
    """What a re-rating would do, or did."""

    offer: tuple[str, str]
    after: int
    to: int
    """The positions of the log between which the calls were settled."""
    calls: int = 0
    unchanged: int = 0
    corrected_before: int = 0
    posted: int = 0
    whole: Sums = field(default_factory=Sums)
    accounts: dict[str, Sums] = field(default_factory=dict)
    not_rated: Counter[Why] = field(default_factory=Counter)
    named: list[NotRatedCall] = field(default_factory=list)

    def count(self, settled: HoldSettled, found: Rated | NotRated) -> None:
        """Count a call."""
        self.calls += 1
        if isinstance(found, NotRated):
            self.leave(settled, found)
        elif found.done:
            self.corrected_before += 1
        elif not found.changes:
            self.unchanged += 1
        else:
            self.whole.add(found)
            self.accounts.setdefault(settled.account_id, Sums()).add(found)

    def leave(self, settled: HoldSettled, why: NotRated) -> None:
        """Count a call that is not rated, and name it if there is room."""
        self.not_rated[why.why] += 1
        if len(self.named) < NAMED_MAX:
            call = NotRatedCall(settled.originator_id, settled.account_id, *why)
            self.named.append(call)


class Rerating:
    """One for each run: `plan` looks, `post` corrects."""

    def __init__(self, database: Database, wanted: Wanted) -> None:
        """Reads the price and the offers of the model; raises NoSuchPriceError."""
        self._database = database
        with database.connect() as connection:
            select = select_on(connection)
            published = read_price(select, wanted.version)
            self.price = _price_of(published, wanted.version)
            assert published is not None
            self.offer = (published.provider, published.model)
            self._prices = PricesOfCalls(self.offer, self.price)
            self._offers = read_offers_named(select, wanted.model)
            self._after = position_before(connection, wanted.since)
            self._to = position_before(connection, wanted.until)
        if self.offer not in self._offers:
            message = (
                f"{wanted.version} is a price of {'/'.join(self.offer)}, not of {wanted.model}: "
                "`GET /v1/models` and the catalog name models"
            )
            raise NoSuchPriceError(message)

    def plan(self, report: Report) -> Plan:
        """What would be corrected; nothing is written."""
        plan = Plan(self.offer, self._after, self._to)
        for page in self._pages(report):
            for settled, found in page:
                plan.count(settled, found)
        return plan

    def post(self, *, reason: str, actor: str, report: Report) -> Plan:
        """Correct what is to be corrected. Raises EventStoreError; what is done stays done."""
        return asyncio.run(self._post(reason, actor, report))

    async def _post(self, reason: str, actor: str, report: Report) -> Plan:
        plan = Plan(self.offer, self._after, self._to)
        async with running_committer(self._database) as committer:
            with closing(self._pages(report)) as pages:
                await self._correct_pages(committer, pages, plan, reason, actor)
        return plan

    async def _correct_pages(
        self, committer: Committer, pages: Iterator[Page], plan: Plan, reason: str, actor: str
    ) -> None:
        while page := await asyncio.to_thread(next, pages, None):
            for begin in range(0, len(page), AT_ONCE):
                part = page[begin : begin + AT_ONCE]
                await self._correct(committer, part, plan, reason, actor)

    async def _correct(
        self,
        committer: Committer,
        calls: Page,
        plan: Plan,
        reason: str,
        actor: str,
    ) -> None:
        async def one(settled: HoldSettled, rated: Rated) -> tuple[int, bool] | UncorrectableError:
            correction = Correction(
                call_id=settled.originator_id,
                account_id=UUID(settled.account_id),
                cost=rated.new,
                price_version=self._prices.of(settled).version,
                reason=reason,
                provider=settled.provider,
                model=settled.model,
            )
            try:
                return await append_correction(committer, correction, actor=actor)
            except UncorrectableError as error:  # Somebody was quicker, with something else.
                return error

        changing = [(s, found) for s, found in calls if isinstance(found, Rated) and found.changes]
        answers = await asyncio.gather(*(one(*each) for each in changing))
        for settled, found in calls:
            if not (isinstance(found, Rated) and found.changes):
                plan.count(settled, found)
        for (settled, found), answer in zip(changing, answers, strict=True):
            if isinstance(answer, UncorrectableError):
                plan.calls += 1
                plan.leave(settled, NotRated(Why.CORRECTED_OTHERWISE, str(answer)))
                continue
            figure, first = answer
            # What was charged is what the append says: others may have corrected meanwhile.
            plan.count(settled, found._replace(charge=figure, done=not first))
            plan.posted += first

    def _pages(self, report: Report) -> Generator[Page]:
        """The model's calls, page by page; each page is read when it is asked for."""
        position, topics = self._after, (HoldSettled.TOPIC,)
        with self._database.connect() as connection:
            while True:
                entries = read_topics_after(
                    connection, position, PAGE_CALLS, to_position=self._to, topics=topics
                )
                if not entries:
                    break
                position = entries[-1].position
                settled = [
                    each.event
                    for each in entries
                    if isinstance(each.event, HoldSettled)
                    and (each.event.provider, each.event.model) in self._offers
                ]
                calls = [each.originator_id for each in settled]
                before: dict[UUID, list[ChargeCorrected]] = {}
                for each in read_of_streams(connection, calls, ChargeCorrected.TOPIC):
                    assert isinstance(each.event, ChargeCorrected)
                    before.setdefault(each.event.originator_id, []).append(each.event)
                if settled:
                    self._prices.read(connection, settled)
                    yield [(each, self._rated(each, before)) for each in settled]
                report(position - self._after, self._to - self._after)

    def _rated(
        self, settled: HoldSettled, before: dict[UUID, list[ChargeCorrected]]
    ) -> Rated | NotRated:
        corrections = before.get(settled.originator_id, [])
        return rate(settled, corrections, self.offer, self._prices.of(settled))


def _price_of(published: PublishedPrice | None, version: str) -> PriceVersion:
    if published is None:
        message = (
            f"no price {version!r} was published: the catalog's history of prices names them, as "
            "provider/model@digest"
        )
        raise NoSuchPriceError(message)
    if not published.terms:
        message = f"{version} says that there is no price any more: nothing is rated by it"
        raise NoSuchPriceError(message)
    stated = {
        "version": published.version,
        "source": published.source,
        "effective_at": published.effective_at,
        **published.terms,
    }
    found = Prices().stated(published.provider, published.model, stated)
    if isinstance(found, str):
        message = f"the catalog {found}"
        raise NoSuchPriceError(message)
    return found
