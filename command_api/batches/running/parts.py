"""What a running batch is given, and what the batches of a process count together."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from prometheus_client.core import Metric

    from command_api.batches.log import BatchLog
    from command_api.batches.rows import BatchRows
    from command_api.batches.running.line_route import Lines
    from command_api.files.store import FileStore
    from command_api.settings.work.batches import BatchSettings


class Room:
    """The bytes of all lines that are under way in a process; who finds none waits."""

    def __init__(self, bytes_max: int) -> None:
        """A line that is larger than all of it has it alone."""
        self._bytes_max, self._used = bytes_max, 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Have so many bytes for a block."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._used or self._used + size <= self._bytes_max
            )
            self._used += size
        try:
            yield
        finally:
            self._used -= size
            async with self._changed:
                self._changed.notify_all()


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
    room: Room
    counts: Counts
