"""Ways in which a test takes its database away, while the server lives."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database


def cut_off(database: Database, server: Database) -> None:
    """End every session on the database."""
    with server.with_name("postgres").connect_as_owner() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [database.parts()["dbname"]],
        )


@contextmanager
def away(database: Database, server: Database) -> Iterator[None]:
    """End every session, and let nobody connect while the block runs."""
    name = database.parts()["dbname"]
    with server.with_name("postgres").connect_as_owner() as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            cut_off(database, server)
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
