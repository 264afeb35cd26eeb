"""Images as they are made: passed on, held for, charged by the last event or our own count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.command_api.operations.image_forms.conftest import (
    EDIT,
    GENERATION,
    GENERATIONS,
    PICTURE,
    completed,
    event,
    generate,
    partial,
    stream_with,
    told,
)
from tests.command_api.operations.image_forms.test_image_forms import (
    EDITS,
    MADE,
    MODELS,
    SEEN,
    TEXT,
    answer_with,
    made,
    png,
    post,
)
from tests.support.harness import (
    RunningGateway,
    ScriptedUpstream,
    begin_stream,
    eventually,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
    "output_tokens": 1_356,
    "total_tokens": 1_368,
}
COST = 12 * TEXT + 1_356 * MADE
LATER = """
[[provider.model]]
id = "gpt-image-2"
input_per_million = "5"
output_per_million = "30"
output_modalities = ["image"]
"""
OWN_TEXT = 2
"""Our own count of the prompt."""
ASK = {"model": "local/gpt-image-1", "prompt": "A cat!!!", "stream": "true"}


@pytest.fixture
def images(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with models of both prices."""
    text = LATER + MODELS.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as running:
        yield running
        running.verified()


def test_events_pass_as_they_come_and_the_last_tells_the_cost(images: RunningGateway) -> None:
    """Byte for byte but for the last, which is charged first (money rule 6, rule: contract)."""
    first = partial(place=0, size="1024x1024")
    unknown = event({"type": "image_generation.later"})
    end = completed(size="1024x1024", usage=USAGE) + b"data: [DONE]\n\n"
    stream_with(images, first[:30], first[30:], unknown, partial(place=1) + end)
    got, story = generate(images, partial_images=3)
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.content.startswith(first + partial(place=1) + b"event: image_generation.completed\n")
    *_, last = told(got.content)
    assert len(told(got.content)) == 3
    assert (last["b64_json"], last["size"]) == (PICTURE, "1024x1024")
    assert last["usage"] == {**USAGE, "cost": COST / 10**9}
    assert (story["settled_nano_usd"], story["usage"]["source"]) == (COST, "provider")
    # The prompt's bound, the dearest image, and each partial one.
    assert story["held_nano_usd"] == 12 * SEEN + (6_240 + 3 * 100) * MADE
    sent = images.upstream.requests[-1]
    assert (sent.path, sent.body["stream"], sent.body["partial_images"]) == (GENERATIONS, True, 3)


def test_an_edit_is_streamed_from_a_form(images: RunningGateway) -> None:
    """Its pictures at their price, by the last event's details (money rule 1, money rule 2)."""
    usage = {**USAGE, "input_tokens": 206}
    usage["input_tokens_details"] = {"text_tokens": 12, "image_tokens": 194}
    stream_with(images, partial(EDIT), completed(EDIT, usage=usage))
    got, story = post(images, {**ASK, "partial_images": "2"})
    assert [each["type"] for each in told(got.content)] == [
        "image_edit.partial_image",
        "image_edit.completed",
    ]
    assert story["settled_nano_usd"] == COST + 194 * SEEN
    assert story["held_nano_usd"] == (12 + 64 + 194) * SEEN + (6_240 + 200) * MADE
    assert (story["usage"]["image_input_tokens"], story["usage"]["images"]) == (194, 1)
    sent = images.upstream.requests[-1]
    assert sent.path == EDITS
    assert b'name="stream"\r\n\r\ntrue\r\n' in sent.raw
    assert b'name="partial_images"\r\n\r\n2\r\n' in sent.raw


@pytest.mark.parametrize(
    ("size", "tokens"), [(None, 7_024), ("1024x1024", 7_024), ("3584x2048", 12_329)]
)
def test_a_large_image_is_held_for_at_what_it_can_cost(
    images: RunningGateway, size: str | None, tokens: int
) -> None:
    """By the sides that are asked for; what costs so much is believed (money rule 2)."""
    stream_with(images, completed(usage={**USAGE, "output_tokens": tokens}))
    _, story = generate(images, model="local/gpt-image-2", size=size)
    assert story["held_nano_usd"] == 12 * 5_000 + tokens * 30_000
    assert story["settled_nano_usd"] == story["held_nano_usd"]


@pytest.mark.parametrize(
    ("usage", "quality", "tokens"),
    [
        (None, "low", 272),
        (None, "auto", 1_056),
        ("?", "high", 4_160),
        ([1], "medium", 1_056),
        ({**USAGE, "input_tokens": -1}, "medium", 1_056),
        ({**USAGE, "input_tokens": 10**12}, "medium", 1_056),
        ({**USAGE, "output_tokens": 10**9}, "medium", 1_056),
        ({**USAGE, "output_tokens": 0, "total_tokens": 12}, "medium", 1_056),
        ({**USAGE, "output_tokens": "many"}, "medium", 1_056),
    ],
)
def test_a_report_that_cannot_be_is_not_believed(
    images: RunningGateway, usage: Any, quality: str, tokens: int
) -> None:
    """An image of the quality that was asked for, and one partial, told so (money rule 6, P1)."""
    stream_with(images, partial(), completed(usage=usage))
    got, story = generate(images, partial_images=1, quality=quality)
    cost = OWN_TEXT * TEXT + (tokens + 100) * MADE
    assert story["settled_nano_usd"] == cost
    last = told(got.content)[-1]["usage"]
    assert last == {
        "input_tokens": OWN_TEXT,
        "output_tokens": tokens + 100,
        "total_tokens": OWN_TEXT + tokens + 100,
        "input_tokens_details": {"text_tokens": OWN_TEXT, "image_tokens": 0},
        "cost": cost / 10**9,
    }
    assert story["usage"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    "pieces",
    [
        (partial(),),
        (partial(), b"data: {no json}\n\n"),
        (partial(), completed(b64_json=7)),
        (partial(), completed(b64_json="")),
        (partial(), completed(b64_json=None)),
        (partial(), partial(b64_json=[])),
        (partial(), event({"type": "error", "error": {"message": "lost"}})),
        (partial(), b"data: " + b"x" * 26_000_000),
        (partial(), *[event({"type": "later", "x": "y" * 1_000_000})] * 80),
        (partial(), *[partial(b64_json="y" * 1_000_000)] * 80),
        (partial(), completed(EDIT, usage=USAGE)),
    ],
)
def test_a_stream_that_breaks_is_charged_for_what_was_begun(
    images: RunningGateway, pieces: tuple[bytes, ...]
) -> None:
    """Nobody gets a nearly whole picture for nothing (P2, money rule 4, rule: bounded)."""
    stream_with(images, *pieces)
    got, story = generate(images, partial_images=2)
    first, *_, last = told(got.content)
    assert first["partial_image_index"] == 0
    assert "error" in last
    partials = sum(each.get("type", "").endswith("partial_image") for each in told(got.content))
    assert partials <= 2
    assert story["settled_nano_usd"] == OWN_TEXT * TEXT + (1_056 + 100 * partials) * MADE
    assert story["usage"]["source"] == "estimated"


def test_a_stream_that_breaks_off_says_so(images: RunningGateway) -> None:
    """Half of an event is none (P2, money rule 4)."""
    stream_with(images, partial(), completed(usage=USAGE)[:60], ends=False)
    got, story = generate(images, partial_images=1)
    assert "error" in told(got.content)[-1]
    assert story["settled_nano_usd"] == OWN_TEXT * TEXT + 1_156 * MADE


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b": wait\n\n",),
        (b"data: {}\n\n",),
        (b"data: [DONE]\n\n",),
        (event({"error": {"message": "no"}}),),
        (partial(b64_json=1),),
        (completed(b64_json="", usage=USAGE),),
        # Nobody asked for it, so it is no output.
        (partial(),),
    ],
)
def test_a_stream_without_an_image_charges_nothing(
    images: RunningGateway, pieces: tuple[bytes, ...]
) -> None:
    """An honest status, and the hold is released (money rule 4)."""
    stream_with(images, *pieces)
    got, _ = generate(images)
    assert got.status_code >= 400
    assert images.open_holds() == 0


def test_no_more_partial_images_pass_than_were_asked_for(images: RunningGateway) -> None:
    """Others are passed over, and not counted (money rule 6, rule: bounded)."""
    stream_with(images, partial(), partial(place=1), partial(place=2), completed())
    got, story = generate(images, partial_images=1)
    assert [each["type"].partition(".")[2] for each in told(got.content)] == [
        "partial_image",
        "completed",
    ]
    assert story["settled_nano_usd"] == OWN_TEXT * TEXT + 1_156 * MADE


def test_a_form_without_a_report_is_counted_with_its_prompt(images: RunningGateway) -> None:
    """Though its files and its text are let go at the first picture (money rule 6)."""
    stream_with(images, partial(EDIT), completed(EDIT))
    got, story = post(images, {**ASK, "partial_images": "1"})
    assert story["settled_nano_usd"] == OWN_TEXT * TEXT + 194 * SEEN + 1_156 * MADE
    assert told(got.content)[-1]["usage"]["input_tokens_details"] == {
        "text_tokens": OWN_TEXT,
        "image_tokens": 194,
    }


def test_a_caller_who_hangs_up_pays_for_what_was_begun(images: RunningGateway) -> None:
    """The image, of which he saw a part, and that part (P11, money rule 5)."""

    def answer(connection: socket.socket, _: Any) -> str:
        begin_stream(connection)
        send_piece(connection, partial())
        while connection.recv(65_536):
            pass
        return "close"

    images.upstream.answer = answer
    user = images.user()
    body = {**ASK, "stream": True, "partial_images": 3, "quality": "high"}
    with images.client(user) as client, client.stream("POST", GENERATIONS, json=body) as got:
        call_id = got.headers["x-gatewayz-call-id"]
        next(got.iter_bytes())
    with images.client(user) as client:
        eventually(lambda: client.get(f"/v1/calls/{call_id}").json()["status"] == "settled")
        story = client.get(f"/v1/calls/{call_id}").json()
    assert story["settled_nano_usd"] == OWN_TEXT * TEXT + 4_260 * MADE


def test_an_image_that_has_a_price_is_charged_once(images: RunningGateway) -> None:
    """Whatever a report says, with the picture that was given (money rule 1)."""
    stream_with(images, completed(EDIT))
    got, story = post(images, {**ASK, "model": "local/sees"})
    assert story["settled_nano_usd"] == 50_000_000 + 3_000_000 == story["held_nano_usd"]
    assert told(got.content)[-1]["usage"]["cost"] == 0.053
    got, _ = generate(images, model="local/sees", partial_images=1)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (
        400,
        "extra_unpriced",
        "partial_images",
    )


def test_a_model_that_answers_whole_is_told_in_events(images: RunningGateway) -> None:
    """It is paid, so it is charged, and seen (P2, rule: contract)."""
    answer_with(images.upstream, made(size="1024x1024", usage=USAGE))
    got, story = generate(images, partial_images=2)
    (last,) = told(got.content)
    assert (last["type"], last["b64_json"]) == (f"{GENERATION}.completed", "aQ==")
    assert (last["size"], last["created_at"]) == ("1024x1024", 1)
    assert story["settled_nano_usd"] == COST
    answer_with(images.upstream, {"created": 1, "data": [{"url": "https://x.test/a"}]})
    got, story = post(images, {**ASK, "model": "local/dall-e-2"})
    (last,) = told(got.content)
    assert (last["type"], last["url"]) == (f"{EDIT}.completed", "https://x.test/a")
    assert story["settled_nano_usd"] == 20_000_000


@pytest.mark.parametrize(
    "body", [{"error": {"message": "no"}}, {"data": []}, {"data": [1]}, {"data": [{}]}, b"{", b"[]"]
)
def test_a_whole_answer_that_is_none_charges_nothing(images: RunningGateway, body: Any) -> None:
    """As one that was asked for whole (money rule 4)."""
    answer_with(images.upstream, body)
    got, _ = generate(images)
    assert got.status_code >= 400
    assert images.open_holds() == 0


def test_a_key_is_answered_once_with_the_same_events(images: RunningGateway) -> None:
    """Byte for byte, as a stream; one charge (P3)."""
    stream_with(images, partial(EDIT), completed(EDIT, usage=USAGE))
    user = images.user()
    data = {**ASK, "partial_images": "1"}
    with images.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again = (
            client.post(EDITS, data=data, files={"image": ("a.png", png())}) for _ in range(2)
        )
    assert first.content == again.content
    assert len(told(first.content)) == 2
    assert (again.headers["idempotent-replayed"], images.upstream.calls) == ("true", 1)


def test_a_provider_without_streams_is_passed_over(images: RunningGateway) -> None:
    """By name where it is the only one, with nothing charged (P10)."""
    got, _ = generate(images, model="fal/gpt-image-1")
    assert (got.status_code, got.json()["error"]["code"]) == (400, "unsupported_by_provider")
    assert (images.open_holds(), images.upstream.calls) == (0, 0)


# The client warns of forms of its own calls that it will give up; they are still sent.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_client(images: RunningGateway) -> None:
    """Partial images and the whole, of a text and of a picture (rule: contract)."""
    user = images.user()
    client = openai.OpenAI(base_url=f"{images.url}/v1", api_key=user.api_key, max_retries=0)
    asked: Any = {"model": "simulator/paint", "prompt": "A", "stream": True, "partial_images": 2}
    for name, stream in (
        (GENERATION, client.images.generate(**asked)),
        (EDIT, client.images.edit(image=png(), **asked)),
    ):
        events: list[Any] = list(stream)
        assert [each.type for each in events] == [
            *[f"{name}.partial_image"] * 2,
            f"{name}.completed",
        ]
        assert [each.partial_image_index for each in events[:2]] == [0, 1]
        assert events[-1].usage.output_tokens == 1_056 + 200
        assert json.loads(events[-1].usage.model_dump_json())["cost"] > 0
