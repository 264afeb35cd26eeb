"""A gateway looks after the holds that its own calls left open (money rule 11)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from event_store.append.spool import Spool
from tests.support.harness import completion, eventually, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import pytest

    from event_store.append.entries import Entry
    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream


def test_a_hold_whose_outcome_was_lost_is_expired_by_its_own_process(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it lives, beside a call that still runs and settles (P2, money rule 11)."""
    go_on = threading.Event()

    def answer(connection: socket.socket, request: Request) -> None:
        if b"wait" in request.raw:
            go_on.wait(60)
        reply(connection, completion())

    upstream.answer = answer
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, sweep_interval_s=0.2) as gateway:
        user = gateway.user()
        waiting = {"messages": [{"role": "user", "content": "wait"}]}
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(gateway.chat, user, waiting)
            eventually(lambda: upstream.requests)
            with database.connect_as_owner() as owner, monkeypatch.context() as lost:

                def forget(_: Spool, __: Entry) -> None:
                    """As where neither disk nor memory had room."""

                lost.setattr(Spool, "keep_or_remember", forget)
                owner.execute(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$; "
                    "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW "
                    "WHEN (NEW.topic LIKE '%hold_settled%') EXECUTE FUNCTION refuse()"
                )
                assert gateway.chat(user, {}).status_code == 200
                owner.execute("DROP TRIGGER refuse ON events; DROP FUNCTION refuse")
            assert gateway.open_holds() == 2
            with database.connect() as connection:
                connection.execute("UPDATE open_hold SET expires_at = clock_timestamp()")
            eventually(lambda: gateway.open_holds() == 1)
            go_on.set()
            assert call.result().status_code == 200
        assert gateway.open_holds() == 0
        assert gateway.verified().settled_nano_usd == 4_500
