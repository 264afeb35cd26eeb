"""Responses that no honest caller sends, and dishonest upstreams: bounded, refused, or charged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.responses import (
    BEGUN,
    LOCAL,
    OPEN,
    START,
    ask,
    asked_last,
    call,
    delta,
    event,
    events_of,
    item,
    plays,
    response,
    says,
    serving,
    stream_of,
    whole,
)
from tests.support.harness import (
    USD,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with OpenAI, played by each test."""
    with serving(server, tmp_path_factory, body_bytes_max=48 * 2**20) as made:
        yield made
        assert made.open_holds() == 0


def without(name: str) -> dict[str, Any]:
    """A body that lacks a member."""
    return {each: value for each, value in ask().items() if each != name}


SAID = {"role": "user", "content": "x"}
REFERENCE = {"type": "item_reference", "id": "msg_theirs"}
REFUSED: list[tuple[Any, str, str]] = [
    (ask(input=[]), "empty_input", "input"),
    (ask(input=""), "empty_input", "input"),
    (ask(input=7), "invalid_type", "input"),
    (without("input"), "missing_required_parameter", "input"),
    (without("model"), "missing_required_parameter", "model"),
    (ask(input=[SAID] * 4_097), "too_many_items", "input"),
    (
        ask(input=[{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 100_001}]),
        "too_many_parts",
        "input",
    ),
    (ask(max_output_tokens=0), "invalid_value", "max_output_tokens"),
    (ask(max_output_tokens=-5), "invalid_value", "max_output_tokens"),
    (ask(max_output_tokens=10**18), "invalid_value", "max_output_tokens"),
    (ask(max_output_tokens=1.5), "invalid_type", "max_output_tokens"),
    (ask(max_output_tokens="9"), "invalid_type", "max_output_tokens"),
    (ask(model=""), "missing_model", "model"),
    (ask(model="m" * 300), "invalid_value", "model"),
    (ask(instructions=[SAID]), "invalid_type", "instructions"),
    (ask(conversation="conv_1"), "unsupported_member", "conversation"),
    (ask(prompt={"id": "pmpt_1"}), "unsupported_member", "prompt"),
    (ask(input=[SAID, REFERENCE]), "unsupported_member", "input[1]"),
    (ask(background=True), "background_not_stored", "background"),
    (ask(input="\0"), "invalid_text", ""),
    (b"{", "invalid_json", ""),
    (b"[]", "invalid_type", ""),
    (json.dumps(ask()).encode()[:-1] + b',"metadata":' + b"[" * 200_000, "invalid_json", ""),
    (b'{"model":"\xff"}', "invalid_json", ""),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_used_is_refused(served: RunningGateway, number: int) -> None:
    """With a 400 that names what is wrong, and nothing is sent (P10, rule: refuse clearly)."""
    body, code, param = REFUSED[number]
    user = served.user()
    got = call(served, user, body)
    told = got.json()["error"]
    assert (got.status_code, told["code"], told["param"] or "") == (400, code, param)
    assert told["type"] == "invalid_request_error"
    assert served.balance(user)["available_nano_usd"] == 10 * USD


@pytest.mark.parametrize("model", ["openai/gpt-test", LOCAL])
def test_ten_megabytes_are_held_for(served: RunningGateway, model: str) -> None:
    """As many tokens as they can be, or refused; neither takes long (money rule 2)."""
    served.upstream.answer = says(whole() if model != LOCAL else completion())
    user = served.user(grant=2_000 * USD)
    began = time.monotonic()
    got = call(served, user, ask(model=model, input="a" * 10_000_000))
    assert time.monotonic() - began < 20
    assert got.status_code == 200
    assert served.story(user, got)["held_nano_usd"] >= 100_000 * 150


def test_thousands_of_items_and_unknown_ones_are_openais_to_judge(served: RunningGateway) -> None:
    """They go on as they are, measured by their bytes (rule: wire, money rule 2)."""
    served.upstream.answer = says(whole())
    user = served.user()
    plain = served.story(user, call(served, user, ask(input=[SAID])))
    novel = {"type": "hologram", "text": 7, "scene": "y" * 4_000}
    got = call(served, user, ask(input=[novel, *[SAID] * 4_000]))
    assert got.status_code == 200
    assert asked_last(served).body["input"][:2] == [novel, SAID]
    held = served.story(user, got)["held_nano_usd"]
    assert held >= plain["held_nano_usd"] + 2_000 * 3_000


USAGES: list[Any] = [
    {"input_tokens": -1, "output_tokens": 5},
    {"input_tokens": 10, "output_tokens": 10**18},
    {"input_tokens": 10**18, "output_tokens": 5},
    {"input_tokens": "many", "output_tokens": 5},
    {"input_tokens": 0, "output_tokens": 0},
    [1, 2],
    "none",
    None,
]


@pytest.mark.parametrize("number", range(len(USAGES)))
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_that_cannot_be_is_replaced(
    served: RunningGateway, number: int, stream: bool
) -> None:
    """By our own count, marked; the bytes stay the provider's (money rule 6)."""
    usage = USAGES[number]
    pieces = stream_of("Hello you", usage=usage)
    body = whole(item("Hello you"), usage=usage)
    served.upstream.answer = plays(*pieces) if stream else says(body)
    user = served.user()
    got = call(served, user, ask(stream=stream))
    assert got.content == (b"".join(pieces) if stream else body)
    story = served.story(user, got)
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")
    assert 0 < story["usage"]["output_tokens"] < 10
    assert story["settled_nano_usd"] < USD / 1_000


SAYS = delta("one two three", 3)
FAILED = event(
    "response.failed",
    4,
    response=response(status="failed", error={"code": "server_error", "message": "No"}),
)
BROKEN: list[list[bytes]] = [
    [START, OPEN, SAYS],
    [START, OPEN, SAYS, b'event: response.output_text.delta\ndata: {"type":"respon'],
    [START, OPEN, SAYS, b"event: x\ndata: {nothing}\n\n"],
    [START, OPEN, SAYS, b"event: x\ndata: [1]\n\n"],
    [START, OPEN, SAYS, b'event: x\ndata: {"type": 7}\n\n'],
    [START, OPEN, SAYS, event("error", 4, code="server_error", message="No")],
    [START, OPEN, SAYS, FAILED],
    [START, OPEN, SAYS, b"data: [DONE]\n\n"],
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_stream_that_breaks_ends_as_failed(served: RunningGateway, number: int) -> None:
    """After what came, which is charged; with the next number, and what there is
    (money rule 4, rule: contract).
    """
    pieces = BROKEN[number]
    served.upstream.answer = plays(*pieces)
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.content.startswith(b"".join(pieces[:3]))
    last = events_of(got.content)[-1]
    assert (last["type"], last["sequence_number"]) == ("response.failed", 4)
    told = last["response"]
    assert (told["status"], told["id"]) == ("failed", "resp_up")
    assert told["error"]["code"] == "server_error"
    assert told["output"][0]["content"][0]["text"] == "one two three"
    story = served.story(user, got)
    assert (story["status"], story["usage"]["output_tokens"] > 2) == ("settled", True)


def test_a_translated_stream_that_breaks_ends_as_failed(served: RunningGateway) -> None:
    """With what there is (money rule 4, rule: contract)."""
    served.upstream.answer = plays(
        chunk({"content": "one two "}), chunk({"content": "three"}), b"data: {nothing}\n\n"
    )
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True))
    events = events_of(got.content)
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "one two three"
    assert served.story(user, got)["status"] == "settled"


NOTHING: list[tuple[bytes, str]] = [
    (b"", "text/event-stream"),
    (b"<html>", "text/html"),
    (START + FAILED, "text/event-stream"),
    (START, "text/event-stream"),
    (START + event("error", 1, code="server_error", message="No"), "text/event-stream"),
    (b'event: x\ndata: {"type":"x"}\n\n' * 60_000, "text/event-stream"),
    (b"data: " + b"x" * 17_000_000, "text/event-stream"),
    (whole(), "application/json"),
]


@pytest.mark.parametrize("number", range(len(NOTHING)))
def test_a_stream_without_output_is_an_honest_status(served: RunningGateway, number: int) -> None:
    """And free (money rule 4)."""
    body, kind = NOTHING[number]
    served.upstream.answer = says(body, headers={"content-type": kind})
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.status_code in (502, 503)
    assert got.json()["error"]["message"]
    assert served.story(user, got)["status"] == "voided"


BODIES: list[bytes] = [
    b"",
    b"[]",
    b"<html>",
    b'{"id":"resp_1"}',
    b'{"output":7}',
    whole(status="failed", error={"code": "server_error", "message": "No"}),
    b'{"output":' + b"[" * 100_000,
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_a_body_that_is_no_response_is_a_failure(served: RunningGateway, number: int) -> None:
    """And free (money rule 4)."""
    served.upstream.answer = says(BODIES[number])
    user = served.user()
    got = call(served, user, ask())
    assert got.status_code == 502
    assert served.story(user, got)["status"] == "voided"


def test_events_in_any_order_pass_and_are_charged_once(served: RunningGateway) -> None:
    """What comes behind the last event is nothing; a second end charges nothing (P3)."""
    end = stream_of("Hello.")[-1]
    done = event("response.output_item.done", 1, output_index=9, item=item("Hello."))
    pieces = [delta("Hello.", 7), START, done, event("response.output_item.added", -3, item=7), end]
    served.upstream.answer = plays(*pieces, end, FAILED, delta("more"))
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.content == b"".join(pieces)
    story = served.story(user, got)
    assert (story["status"], story["usage"]["output_tokens"]) == ("settled", 5)


@pytest.mark.parametrize("model", ["openai/gpt-test", LOCAL])
def test_a_stream_without_an_end_is_cut_at_its_maximum(served: RunningGateway, model: str) -> None:
    """It ends as incomplete, with all that came, and no more is charged (money rule 2, P1)."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return
        begin_stream(connection)
        first = [START, OPEN] if model != LOCAL else [chunk({"content": "word "})]
        try:
            for piece in first:
                send_piece(connection, piece)
            for number in range(100_000):
                more = delta("word " * 50, 3 + number)
                send_piece(connection, more if model != LOCAL else chunk({"content": "word " * 50}))
        except OSError:
            return

    served.upstream.answer = answer
    user = served.user()
    got = call(served, user, ask(model=model, stream=True, max_output_tokens=20))
    events = events_of(got.content)
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    last = events[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    said = "".join(each.get("delta", "") for each in events)
    assert last["response"]["output"][0]["content"][0]["text"] == said
    assert last["response"]["output"][0]["status"] == "incomplete"
    story = eventually(lambda: (told := served.story(user, got))["status"] == "settled" and told)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


def test_a_hundred_thousand_items_pass(served: RunningGateway) -> None:
    """They are assembled up to a maximum, and pass all (rule: bounded)."""
    added = [
        event("response.output_item.added", 2 + n, output_index=n, item={"type": "reasoning"})
        for n in range(20_000)
    ]
    body = [START, delta("x", 1), b"".join(added), delta("x", 30_000), stream_of("x")[-1]]
    served.upstream.answer = plays(*body)
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.content == b"".join(body)
    assert served.story(user, got)["status"] == "settled"
    assert BEGUN["status"] == "in_progress"
