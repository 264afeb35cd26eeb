"""How the application and the migrations reach PostgreSQL.

The application's connections run as the role `gatewayz_app`, which may read and append events
and nothing more; migrations run as another role (P5).
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from event_store.errors import DatabaseUrlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

APPLICATION_ROLE = "gatewayz_app"
READER_ROLE = "gatewayz_reader"
"""Who only asks: analysts, finance, auditors. The application's login may take it on."""
CONNECT_TIMEOUT_S = 5
"""Seconds for one attempt to connect; libpq counts whole seconds."""


@dataclass(frozen=True, slots=True)
class Database:
    """Connection strings (libpq form) of one database."""

    application: str = field(repr=False)
    owner: str = field(repr=False)

    @classmethod
    def from_url(cls, url: str, migrations_url: str | None = None) -> Database:
        """A database that someone else runs.

        The application logs in with `url` and takes on its role for the session. Without a
        `migrations_url`, migrations log in with `url` too, and keep the login's own role. Raises
        DatabaseUrlError.
        """
        for each in (url, migrations_url):
            if each is not None:
                _check_url(each)
        application = make_conninfo(
            url, connect_timeout=CONNECT_TIMEOUT_S, options=f"-c role={APPLICATION_ROLE}"
        )
        owner = make_conninfo(migrations_url or url, connect_timeout=CONNECT_TIMEOUT_S)
        return cls(application=application, owner=owner)

    @property
    def reader_options(self) -> str:
        """The session's options for somebody who only asks."""
        return f"-c role={READER_ROLE} -c default_transaction_read_only=on"

    def with_name(self, name: str) -> Database:
        """The same server and roles, another database; used by tests."""
        return Database(
            application=make_conninfo(self.application, dbname=name),
            owner=make_conninfo(self.owner, dbname=name),
        )

    def connect(self, *, statement_s: float | None = None) -> psycopg.Connection[Any]:
        """A synchronous connection of the application, in autocommit mode.

        With `statement_s` no statement may take longer than so many seconds.
        """
        connection = psycopg.connect(self.application, autocommit=True)
        if statement_s is not None:
            limit_statements(connection, statement_s)
        return connection

    def connect_to_look(self) -> psycopg.Connection[Any]:
        """As `connect`, but in the login's own role: the application's may not exist yet."""
        return psycopg.connect(make_conninfo(self.application, options=""), autocommit=True)

    def connect_as_owner(self) -> psycopg.Connection[Any]:
        """A synchronous connection of the migrating role, in autocommit mode."""
        return psycopg.connect(self.owner, autocommit=True)

    async def connect_async(
        self, timeout_s: int = CONNECT_TIMEOUT_S, *, statement_s: float | None = None
    ) -> psycopg.AsyncConnection[Any]:
        """An asynchronous connection of the application, in autocommit mode.

        With `statement_s` no statement may take longer than so many seconds. Raises
        psycopg.OperationalError, after `timeout_s` seconds (at least 2) at the latest.
        """
        connection = await psycopg.AsyncConnection.connect(
            self.application, autocommit=True, connect_timeout=timeout_s
        )
        if statement_s is not None:
            await connection.execute(_limit_of(statement_s))
        return connection

    def parts(self) -> dict[str, str]:
        """The application's connection string as keywords."""
        return {key: str(value) for key, value in conninfo_to_dict(self.application).items()}


def _check_url(url: str) -> None:
    """Refuse what libpq would refuse later, in words of its own that quote parts of the URL."""
    message = (
        "a database URL is no PostgreSQL connection string: write "
        "postgresql://USER:PASSWORD@HOST:PORT/NAME, with %XX for each of : / @ # ? % and spaces in "
        "the password"
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise DatabaseUrlError(message) from None
    ports = str(parts.get("port", "")).split(",")
    # An unescaped / or @ of a password ends as a part of the port, the host or the name.
    names = f"{parts.get('host', '')}{parts.get('dbname', '')}"
    if not all(port.isdecimal() or not port for port in ports) or "@" in names:
        raise DatabaseUrlError(message)


@contextmanager
def hanging_up(connection: psycopg.AsyncConnection[Any], after_s: float) -> Iterator[None]:
    """End a connection on which the block takes longer, so that it raises OperationalError.

    A cancellation would wait for the server's word, and one that stands still gives none.
    """
    handle = asyncio.get_running_loop().call_later(after_s, _hang_up, connection)
    try:
        yield
    finally:
        handle.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def url_of(conninfo: str, *, with_password: bool) -> str:
    """A libpq connection string as the URL that every client of PostgreSQL takes."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    user, password = (quote(parts.pop(name, ""), safe="") for name in ("user", "password"))
    if not with_password:
        parts.pop("sslpassword", None)  # That of the client's own key.
    login = f"{user}:{password}" if with_password and password else user
    name = quote(parts.pop("dbname", ""), safe="")
    host, port = parts.pop("host", ""), parts.pop("port", "")
    if host.startswith("/"):
        parts = {"host": host, **({"port": port} if port else {}), **parts}
        host = port = ""
    network = host + (f":{port}" if port else "")
    query = urlencode(parts, quote_via=quote)
    return f"postgresql://{login}@{network}/{name}" + (f"?{query}" if query else "")


class Connects(Protocol):
    """What reading code needs: a connection for a `with` block."""

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A connection of the application, in autocommit mode."""
        ...


MILLISECONDS = 1_000
READ_WAIT_S = 5.0


def limit_statements(connection: psycopg.Connection[Any], statement_s: float) -> None:
    """From now on a statement that takes longer raises psycopg.errors.QueryCanceled."""
    connection.execute(_limit_of(statement_s))


def _limit_of(statement_s: float) -> bytes:
    return b"SET statement_timeout = %d" % max(1, int(statement_s * MILLISECONDS))


class ReadPool:
    """Connections kept open for reading, shared by the threads of one lane of a process."""

    def __init__(self, database: Database, *, connections_max: int, statement_s: float) -> None:
        """Nothing is connected before `open`; `statement_s` bounds each query."""
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            database.application,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=connections_max,
            configure=partial(limit_statements, statement_s=statement_s),
            timeout=READ_WAIT_S,
            check=ConnectionPool.check_connection,
            open=False,
        )

    def open(self) -> None:
        """Begin to connect in the background."""
        self._pool.open()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Borrow a connection; raises psycopg_pool.PoolTimeout when none can be had."""
        return self._pool.connection()
