"""Files and batches of one serving process, put together, begun and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.batches.desk import BatchDesk
from command_api.batches.log import BatchLog
from command_api.batches.rows import BatchRows
from command_api.batches.running.host import BatchHost
from command_api.batches.running.line_route import Lines
from command_api.batches.running.parts import BatchParts, Counts, Room
from command_api.batches.running.purses import Purses
from command_api.files.desk import FileDesk
from command_api.files.store import FileStore
from command_api.files.uploads import Uploads
from command_api.kept_replies.lookups import Lookups

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.calls.parts import CallParts
    from command_api.identity.people import People
    from command_api.identity.vault import Vault
    from command_api.settings import Settings
    from event_store.postgres.database import Database

ROOM_PART = 4
"""Lines that are under way hold at most one part in so many of what all bodies may hold."""


class Batches:
    """One for each process; its look-ups are not those of calls."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        vault: Vault,
        calls: CallParts,
        people: People,
        runner_id: UUID,
    ) -> None:
        """`runner_id` is the owner of the process's lease. Nothing is connected yet."""
        self._lookups = Lookups(database)
        store = FileStore(self._lookups, vault)
        rows, log = BatchRows(self._lookups, store, runner_id), BatchLog(people)
        requests = settings.requests
        self.counts = Counts()
        self._host = BatchHost(
            BatchParts(
                settings.batches,
                requests.body_bytes_max,
                store,
                rows,
                log,
                Lines(calls, self._lookups, vault),
                Purses(rows.funds, settings.calls.deadline_s),
                Room(requests.bodies_bytes_max // ROOM_PART),
                self.counts,
            )
        )
        uploads = Uploads(store, settings.files, requests, calls.uploads)
        self.handed: dict[str, object] = {
            "files": FileDesk(store, uploads),
            "batches": BatchDesk(rows, log, store, settings.batches),
        }
        """What the routes look for on the application's state, by name."""

    def start(self) -> None:
        """Begin to look for batches to run."""
        self._host.start()

    async def stop(self) -> None:
        """Begin nothing more, let others go on, and disconnect."""
        await self._host.stop()
        await self._lookups.close()
