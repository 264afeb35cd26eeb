"""Adapters that meet a defect, and replies whose shape nobody foresaw: failures of an attempt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.openai_api import OpenAiUpstream
from providers.inference.registry import upstreams
from tests.command_api.calls.test_failover import good
from tests.support.harness import DONE, ScriptedUpstream, chunk, reply, running_gateway, stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.port import Operation, UpstreamReply
    from tests.support.harness import Request, RunningGateway

TWO = """
[[provider]]
name = "odd"
base_url = "{odd}"
protocol = "fal"
[[provider.model]]
id = "org/model"
{price}
[[provider]]
name = "fine"
base_url = "{fine}"
[[provider.model]]
id = "org/model"
{price}
"""
TOKENS = 'input_per_million = "1"\noutput_per_million = "2"\nmax_output_tokens = 1000'
IMAGES = 'per_image = "0.01"'
QUEUED = {"request_id": "r1", "response_url": "https://x/r1", "cancel_url": "https://x/r1/cancel"}
DEEP = b'{"images":' + b"[" * 100_000
SHAPES = [
    b'{"images":5}',
    b'{"images":{"url":5}}',
    b'{"images":[7]}',
    b'{"image":true}',
    DEEP,
    *(
        json.dumps({**QUEUED, "status_url": url}).encode()
        for url in ("https://x/a b", "http://[x", "https://x/a\u0001", "https://x/\u20ac", 5, "")
    ),
]


class Faulty:
    """An adapter that raises what its port does not allow."""

    place = ""

    def __init__(self, client: HttpClient, *, deadline_s: float) -> None:
        """In the place of one with other arguments."""
        del deadline_s
        self._of = OpenAiUpstream(client)

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> UpstreamReply:
        """A reply that raises, or not even that."""
        if self.place == "send":
            raise TypeError(self.place)
        return FaultyReply(await self._of.send(operation, body, stream=stream), self.place)

    async def close(self) -> None:
        """Close idle connections."""
        await self._of.close()


class FaultyReply:
    """A reply that raises in one place."""

    def __init__(self, of: UpstreamReply, place: str) -> None:
        """All else is the real one's."""
        self._of, self._place, self._pieces = of, place, 0
        self.status, self.headers = of.status, of.headers
        self.report = None

    async def whole(self) -> bytes:
        """The body."""
        self._meet("whole")
        return await self._of.whole()

    async def piece(self) -> bytes:
        """The next of it."""
        self._meet("piece")
        self._pieces += 1
        if self._pieces > 1:
            self._meet("later")
        return await self._of.piece()

    def interrupt(self) -> None:
        """Give up."""
        self._of.interrupt()
        self._meet("whole")

    def release(self) -> None:
        """Done."""
        self._of.release()
        self._meet("release")

    def _meet(self, place: str) -> None:
        if self._place == place:
            raise TypeError(place)


class Pair:
    """Two offers of a model: the first one's adapter or upstream is odd."""

    def __init__(self, gateway: RunningGateway, odd: ScriptedUpstream) -> None:
        """Keep them."""
        self.gateway, self.odd = gateway, odd
        self.user = gateway.user()

    def attempts(self, answer: Any) -> list[tuple[str, str | None]]:
        """Who was tried, and how it failed."""
        story = self.gateway.story(self.user, answer)
        assert story["status"] == "settled"
        return [(each["provider"], each.get("error")) for each in story["attempts"]]


@pytest.fixture
def pair(
    request: pytest.FixtureRequest,
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
) -> Iterator[Pair]:
    """A gateway with both, priced as the parameter says."""
    odd, fine = ScriptedUpstream(good("odd")), ScriptedUpstream(good("fine"))
    text = TWO.format(odd=f"http://127.0.0.1:{odd.port}", fine=fine.base_url, price=request.param)
    if request.param == IMAGES:
        fine.answer = lambda connection, _: reply(connection, b'{"data":[{"url":"https://x/1"}]}')
    with running_gateway(
        database, tmp_path / "home", upstream, providers=text, breaker_failures=1_000
    ) as made:
        yield Pair(made, odd)
        assert made.open_holds() == 0
        made.verified()
    odd.close()
    fine.close()


@pytest.mark.parametrize("pair", [IMAGES], indirect=True)
def test_a_queue_that_answers_anything_is_a_failed_attempt(pair: Pair) -> None:
    """At once or from the queue: another provider gives the images (P3, money rule 4)."""
    body = {"model": "org/model", "prompt": "a", "n": 1}
    for shape in SHAPES:

        def answer(connection: socket.socket, request: Request, shape: bytes = shape) -> None:
            reply(connection, shape if request.method == "POST" else b"{}")

        pair.odd.answer = answer
        with pair.gateway.client(pair.user) as client:
            got = client.post("/v1/images/generations", json=body)
        assert got.status_code == 200, (shape[:60], got.text)
        assert pair.attempts(got) == [("odd", "broken_reply"), ("fine", None)], shape[:60]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    """The adapter, in the place of a real one of which there is no defect to be had."""
    monkeypatch.setattr(Faulty, "place", "")
    monkeypatch.setattr(upstreams, "FalUpstream", Faulty)
    return Faulty


@pytest.mark.parametrize("pair", [TOKENS], indirect=True)
@pytest.mark.parametrize(
    ("place", "streamed"),
    [("send", False), ("send", True), ("whole", False), ("piece", True), ("release", False)],
)
def test_a_defect_of_an_adapter_is_a_failed_attempt(
    faulty: type[Faulty],
    pair: Pair,
    place: str,
    streamed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once with what led to it, and another offer answers (P3, money rule 4)."""
    faulty.place = place
    got = pair.gateway.chat(pair.user, {"model": "org/model", "stream": streamed})
    assert got.status_code == 200, got.text
    assert b"fine" in got.content
    assert pair.attempts(got) == [("odd", "broken_reply"), ("fine", None)]
    traced = [each for each in caplog.records if each.exc_info and each.exc_info[1]]
    assert [each.name for each in traced] == ["gatewayz.calls"]


@pytest.mark.parametrize("pair", [TOKENS], indirect=True)
def test_a_defect_in_the_middle_of_a_stream_ends_it_openly(
    faulty: type[Faulty], pair: Pair
) -> None:
    """An error chunk, [DONE], and the charge for what was made (money rule 4)."""
    faulty.place = "later"
    pair.odd.answer = lambda connection, _: stream(
        connection, chunk({"content": "Hello"}), chunk({"content": " you"}), pause_s=0.1
    )
    got = pair.gateway.chat(pair.user, {"model": "org/model", "stream": True})
    assert b"Hello" in got.content
    assert got.content.endswith(DONE)
    assert b'"upstream_error"' in got.content
    assert pair.attempts(got) == [("odd", "broken_reply")]


@pytest.mark.parametrize("pair", [TOKENS], indirect=True)
def test_a_defect_after_a_whole_stream_costs_nothing(faulty: type[Faulty], pair: Pair) -> None:
    """What cannot be let go is logged, and the answer is the caller's (P3)."""
    faulty.place = "release"
    got = pair.gateway.chat(pair.user, {"model": "org/model", "stream": True})
    assert got.content.endswith(DONE)
    assert pair.attempts(got) == [("odd", None)]
