"""What the tests of files share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command_api.batches.making import close_clients

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """No client outlives its test."""
    yield
    close_clients()
