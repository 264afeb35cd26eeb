"""What the tests of read models share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.projected import Projected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database


@pytest.fixture
def projected(database: Database) -> Iterator[Projected]:
    """A projected history."""
    made = Projected(database)
    yield made
    made.connection.close()
