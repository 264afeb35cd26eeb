"""Equal requests at several gateways: the lease of the one that calls, in Redis.

Whoever leads renews its lease while its call is under way. One that dies renews it no more, so that
another leads after LIFE_S at most. Without Redis each gateway leads by itself.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from providers.redis.leases import LeasesAwayError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from providers.redis.leases import RedisLeases

LIFE_S = 5.0
"""How long the lease of a gateway that died stands, seconds."""
RENEWALS = 3
"""So often a lease is renewed in its life."""
POLL_S = 0.05
"""Time between looks at what became of another gateway's call, seconds."""
ALONE = b"alone"
"""In the place of the lease of an answer that is its caller's alone: each makes its own call."""
ALONE_S = 2.0
OWNER_BYTES = 16
NAMED = "flight:"


class Lead:
    """The lead of one call; without a lease where nobody else could know of it."""

    def __init__(self, flights: SharedFlights, name: str, owner: bytes | None) -> None:
        """It begins now."""
        self._flights, self._name, self._owner = flights, name, owner
        self._renewing = None if owner is None else flights.begin(self._renew(owner))

    async def _renew(self, owner: bytes) -> None:
        while True:
            await asyncio.sleep(LIFE_S / RENEWALS)
            with suppress(LeasesAwayError):
                if not await self._flights.leases.renew(self._name, owner, LIFE_S):
                    return  # It was late, and another one leads: both calls are made.

    def end(self, *, alone: bool = False) -> None:
        """Let another one lead; `alone` where the answer is not for others. Twice is fine."""
        owner, self._owner = self._owner, None
        if owner is None or self._renewing is None:
            return
        self._renewing.cancel()
        self._flights.begin(self._leave(owner, ALONE if alone else b""))

    async def _leave(self, owner: bytes, note: bytes) -> None:
        with suppress(LeasesAwayError):
            await self._flights.leases.leave(self._name, owner, note, ALONE_S)


class SharedFlights:
    """Those of one process, as the others see them."""

    def __init__(self, leases: RedisLeases) -> None:
        """No call is under way."""
        self.leases = leases
        self._tasks = set[asyncio.Task[None]]()

    async def lead(self, name: str) -> Lead | None:
        """The lead of a call; None while another gateway has it."""
        owner, name = os.urandom(OWNER_BYTES), NAMED + name
        try:
            if not await self.leases.take(name, owner, LIFE_S):
                return None
        except LeasesAwayError:
            return Lead(self, name, None)
        return Lead(self, name, owner)

    async def alone(self, name: str) -> bool:
        """Whether the answer that was waited for is its caller's alone."""
        try:
            return await self.leases.holder(NAMED + name) == ALONE
        except LeasesAwayError:
            return False

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the call that it is of."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Disconnect; what is still led ends by itself."""
        tasks = [*self._tasks]
        for each in tasks:
            each.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.leases.close()
