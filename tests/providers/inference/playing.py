"""A gateway whose upstream plays recordings, and what each of them must have cost."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.providers.inference.recordings import Counts
from tests.support.harness import (
    ScriptedUpstream,
    begin_stream,
    reply,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    import pytest

    from event_store.postgres.database import Database
    from tests.providers.inference.recordings import Recording
    from tests.support.harness import Request, RunningGateway

PRICES = {"input": "0.15", "output": "0.60", "cached": "0.0375", "written": "0.3"}


@contextmanager
def playing(
    server: Database,
    factory: pytest.TempPathFactory,
    recordings: Iterable[Recording],
    more: str = "",
) -> Iterator[RunningGateway]:
    """One gateway for all recordings; its upstream plays every provider.

    `more` are further lines about each.
    """
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(lambda connection, _: reply(connection, b'{"data":[]}'))
    providers = "".join(
        f"""
[[provider]]
name = "{name}"
base_url = "{upstream.base_url}"
api_key = "sk-test"
allow_unpriced = ["web_search", "server_tools"]
{more}
[[provider.model]]
id = "recorded/model"
input_per_million = "{PRICES["input"]}"
output_per_million = "{PRICES["output"]}"
cached_input_per_million = "{PRICES["cached"]}"
cache_write_per_million = "{PRICES["written"]}"
per_image = "0.01"
"""
        for name in sorted({each.provider for each in recordings})
    )
    with (
        fresh_database(server) as database,
        running_gateway(database, factory.mktemp("home"), upstream, providers=providers) as made,
    ):
        yield made
    upstream.close()


def play(upstream: ScriptedUpstream, recording: Recording, seed: int | None) -> None:
    """Answer with the recording."""
    response = recording.response

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        elif recording.streamed:
            begin_stream(connection)
            for piece in recording.pieces(seed):
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
        else:
            kept = {
                name: value
                for name, value in response["headers"].items()
                if name not in ("transfer-encoding", "content-length", "content-encoding")
            }
            reply(connection, response["body"].encode(), status=response["status"], headers=kept)

    upstream.answer = answer


def check_charge(story: dict[str, Any], counts: Counts | None) -> None:
    """Charged for the provider's own counts; where it gave none, for ours and marked so."""
    usage = story["usage"]
    if counts is None:
        assert usage["source"] == "estimated"
        return
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")
    found = Counts(*(usage[name] for name in (*names, "reasoning_tokens")))
    assert (found, usage["source"]) == (counts, "provider")
    exact = 1_000 * (
        (counts.input - counts.cached - counts.written) * Decimal(PRICES["input"])
        + counts.cached * Decimal(PRICES["cached"])
        + counts.written * Decimal(PRICES["written"])
        + counts.output * Decimal(PRICES["output"])
    )
    assert Decimal(story["arithmetic"]["exact_nano_usd"]) == exact
    assert abs(story["settled_nano_usd"] - exact) <= Decimal("0.5")
