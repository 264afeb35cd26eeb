"""What a running batch is given, and what the batches of a process count together."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.batches.log import BatchLog
    from command_api.batches.rows import BatchRows
    from command_api.batches.running.line_route import Lines
    from command_api.batches.running.purses import Purses
    from command_api.files.store import FileStore
    from command_api.settings.work.batches import BatchSettings


class Room:
    """The bytes of all lines that are under way in a process; who finds none waits."""

    def __init__(self, bytes_max: int) -> None:
        """A line that is larger than all of it has it alone."""
        self._bytes_max, self._used = bytes_max, 0
        self._waiting = set[asyncio.Future[None]]()

    async def take(self, size: int) -> None:
        """Have so many bytes, once they are free; whoever has them gives them back."""
        while self._used and self._used + size > self._bytes_max:
            one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(one)
            try:
                await one
            finally:
                self._waiting.discard(one)
        self._used += size

    def give_back(self, size: int) -> None:
        """Nobody keeps them any more: all who wait look again."""
        self._used -= size
        for one in self._waiting:
            if not one.done():
                one.set_result(None)


class Counts:
    """What Prometheus is told of a process's batches."""

    def __init__(self) -> None:
        """Nothing runs."""
        self.batches = self.running = self.waiting = 0
        self.ended: Counter[str] = Counter(completed=0, failed=0)

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        about = "Batches that this process runs."
        yield GaugeMetricFamily("gatewayz_batches_running", about, self.batches)
        about = "Lines of batches that are being called in this process."
        yield GaugeMetricFamily("gatewayz_batch_lines_running", about, self.running)
        about = "Lines of them that wait before they are tried again."
        yield GaugeMetricFamily("gatewayz_batch_lines_waiting", about, self.waiting)
        ended = CounterMetricFamily(
            "gatewayz_batch_lines",
            "Lines of batches that ended in this process.",
            labels=["outcome"],
        )
        for outcome, count in list(self.ended.items()):
            ended.add_metric([outcome], count)
        yield ended


class BatchParts(NamedTuple):
    """Made once for each process."""

    settings: BatchSettings
    body_bytes_max: int
    store: FileStore
    rows: BatchRows
    log: BatchLog
    lines: Lines
    purses: Purses
    room: Room
    counts: Counts
