"""What the routes of files, and batches, are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from command_api.files.store import FileStore
    from command_api.files.uploads import Uploads


class FileDesk(NamedTuple):
    """One for each process."""

    store: FileStore
    uploads: Uploads
