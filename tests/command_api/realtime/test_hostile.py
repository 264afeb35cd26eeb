"""Providers and callers of sessions that lie, fall silent, flood, or leave in the middle."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.command_api.realtime.provider import (
    KEY,
    USAGE,
    USAGE_NANO_USD,
    Talker,
    answering,
    ask,
    call_of,
    closed,
    done,
    greet,
    hear,
    respond,
    say,
    session,
    talking,
    until,
)
from tests.support.harness import USD, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.server import ServerConnection

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

Served = tuple["RunningGateway", Talker]
TEXT = "It was a dark and stormy night"


@pytest.fixture(scope="module")
def served(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, Talker]]:
    """A gateway whose sessions have small limits."""
    with talking(
        server,
        tmp_path_factory,
        realtime_frame_bytes_max=64 * 1024,
        realtime_idle_s=2,
        realtime_reader_s=2,
        upstream_connect_s=2,
    ) as made:
        yield made


def over(gateway: RunningGateway, user: NewUser, call: str) -> dict[str, Any]:
    """The call's story once its hold is resolved."""
    told: dict[str, Any] = eventually(
        lambda: (story := gateway.story(user, call))["status"] != "held" and story
    )
    return told


def begun(connection: ServerConnection) -> None:
    """A response that has begun and made something."""
    greet(connection)
    hear(connection, "response.create")
    say(connection, "response.created", response={"id": "resp_1"})
    say(connection, "response.output_text.delta", response_id="resp_1", delta=TEXT)


def breaks(connection: ServerConnection) -> None:
    """In the middle, without a word."""
    begun(connection)
    connection.socket.shutdown(2)


def closes(connection: ServerConnection) -> None:
    """In the middle, in good order."""
    begun(connection)
    connection.close(1000)


def no_json(connection: ServerConnection) -> None:
    """What is no event."""
    begun(connection)
    connection.send("{{{{")
    _wait(connection)


def binary(connection: ServerConnection) -> None:
    """What is no text."""
    begun(connection)
    connection.send(b"\x00\xff" * 100)
    _wait(connection)


def giant(connection: ServerConnection) -> None:
    """A frame without measure."""
    begun(connection)
    connection.send("x" * 1_000_000)
    _wait(connection)


def deep(connection: ServerConnection) -> None:
    """JSON that nobody reads to its ground."""
    begun(connection)
    connection.send('{"type":"x","response":' + "[" * 30_000)
    _wait(connection)


def _wait(connection: ServerConnection) -> None:
    while True:
        connection.recv()


@pytest.mark.parametrize("behave", [breaks, closes, no_json, binary, giant, deep])
def test_a_response_without_its_end_is_charged_by_our_count(
    served: Served, behave: Callable[[ServerConnection], None]
) -> None:
    """What was made is paid, marked as counted here, and the caller is told (P11, money rule 4)."""
    gateway, talker = served
    talker.behave = behave
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        events, code = closed(caller)
    if behave is closes:
        assert code == 1000
    else:
        assert (events[-1]["type"], events[-1]["error"]["code"]) == ("error", "upstream_error")
        assert code == 1011
    story = over(gateway, user, call)
    assert story["status"] == "settled"
    assert story["usage"]["source"] == "estimated"
    assert story["usage"]["output_tokens"] == 8
    assert 0 < story["settled_nano_usd"] < story["held_nano_usd"]


@pytest.mark.parametrize("count", [10**18, -1, 10**30, 1.5, "many", True, None])
def test_a_report_that_cannot_be_is_our_count(served: Served, count: Any) -> None:
    """Absurd, negative, or no number: what was received counts, marked (money rule 6, P1)."""
    gateway, talker = served
    usage = USAGE | {"input_tokens": count, "output_tokens": count}

    def lying(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "response.create")
        respond(connection, "resp_1", usage)
        _wait(connection)

    talker.behave = lying
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "response.done")
    story = over(gateway, user, call)
    assert story["usage"]["source"] == "estimated"
    assert story["usage"]["implausible"] is True
    assert story["settled_nano_usd"] < USAGE_NANO_USD


def test_parts_never_exceed_their_whole(served: Served) -> None:
    """More audio and more cached tokens than tokens: nothing is charged below zero (P1, P4)."""
    gateway, talker = served
    details = {
        "audio_tokens": 10**6,
        "image_tokens": 10**6,
        "cached_tokens": 50,
        "cached_tokens_details": {"audio_tokens": 10**6, "image_tokens": 10**6},
    }
    usage = {
        "input_tokens": 100,
        "output_tokens": 10,
        "input_token_details": details,
        "output_token_details": {"audio_tokens": 10**6},
    }

    def lying(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "response.create")
        respond(connection, "resp_1", usage)
        _wait(connection)

    talker.behave = lying
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "response.done")
    assert over(gateway, user, call)["settled_nano_usd"] == 50 * 400 + 50 * 32_000 + 10 * 64_000


def test_a_response_is_charged_once(served: Served) -> None:
    """Done twice, or done without a name when none is under way: no second charge
    (P3, money rule 6).
    """
    gateway, talker = served

    def repeating(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "response.create")
        respond(connection, "resp_1")
        say(connection, "response.created", response={"id": "resp_1"})
        for name in ("resp_1", "resp_1", ""):
            done(connection, name)
        say(connection, "last")
        _wait(connection)

    talker.behave = repeating
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "last")
    assert over(gateway, user, call)["settled_nano_usd"] == USAGE_NANO_USD


def test_a_response_that_only_ends_is_charged_once(served: Served) -> None:
    """No beginning and no pieces: what it reports is charged, and what it says where it reports
    nothing, once for each name; one that used and said nothing is free (P2, P3, money rule 4).
    """
    gateway, talker = served
    said = [{"type": "message", "content": [{"type": "output_audio", "transcript": TEXT}]}]

    def ending(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "response.create")
        for _ in range(2):
            done(connection, "resp_reports")
            done(connection, "resp_says", None, output=said)
            done(connection, "resp_nothing", None)
            done(connection, "resp_zero", {"input_tokens": 0, "output_tokens": 0})
        say(connection, "last")
        _wait(connection)

    talker.behave = ending
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "last")
    story = over(gateway, user, call)
    assert story["usage"]["output_tokens"] == 121 + 8
    assert story["usage"]["source"] == "estimated"
    assert story["settled_nano_usd"] > USAGE_NANO_USD


@pytest.mark.parametrize("name", ["resp_1", None])
def test_a_response_without_a_beginning_is_cut_and_paid(served: Served, name: str | None) -> None:
    """Its caller had what it made (P2, money rule 4, rule: bounded)."""
    gateway, talker = served

    def flooding(connection: ServerConnection) -> None:
        greet(connection)
        while True:
            say(connection, "response.output_text.delta", response_id=name, delta=TEXT * 1_000)

    talker.behave = flooding
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("upstream_error", 1011)
    story = over(gateway, user, call)
    assert story["settled_nano_usd"] > 0
    assert story["usage"]["source"] == "estimated"


def test_a_response_without_an_end_is_cut(served: Served) -> None:
    """It is cancelled, and paid up to what one can be (money rule 2, rule: bounded)."""
    gateway, talker = served
    audio = "AAAA" * 12_000

    def flooding(connection: ServerConnection) -> None:
        begun(connection)
        while True:
            say(connection, "response.output_audio.delta", response_id="resp_1", delta=audio)

    talker.behave = flooding
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("upstream_error", 1011)
    story = over(gateway, user, call)
    assert story["usage"]["output_tokens"] == 4_096 + 1_024 + 64
    assert story["reason"] == "maximum_ignored"


def test_responses_nobody_asked_for_are_bounded(served: Served) -> None:
    """A flood of begun responses ends the session, and nothing was made (rule: bounded)."""
    gateway, talker = served

    def many(connection: ServerConnection) -> None:
        greet(connection)
        for number in range(100):
            say(connection, "response.created", response={"id": f"resp_{number}"})
        _wait(connection)

    talker.behave = many
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        _, code = closed(caller)
    assert code == 1011
    assert over(gateway, user, call)["status"] == "voided"


def test_a_caller_asks_for_so_many_at_once(served: Served) -> None:
    """Beyond it a response is refused by name and not passed on (rule: bounded)."""
    gateway, talker = served

    def silent(connection: ServerConnection) -> None:
        greet(connection)
        for _ in range(16):
            hear(connection, "response.create")
        hear(connection)

    talker.behave = silent
    user = gateway.user()
    with session(gateway, user) as caller:
        talker.heard.clear()
        for _ in range(20):
            ask(caller)
        assert until(caller, "error")["error"]["code"] == "too_many_responses"
        eventually(lambda: len(talker.heard) == 16)


def test_silence_ends_a_session(served: Served) -> None:
    """On both sides, after a time, with a word (rule: bounded)."""
    gateway, talker = served

    def silent(connection: ServerConnection) -> None:
        greet(connection)
        _wait(connection)

    talker.behave = silent
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("session_idle", 1001)
    assert over(gateway, user, call)["status"] == "voided"
    eventually(lambda: talker.ended)


def test_a_provider_that_quotes_our_key_is_not_repeated(served: Served) -> None:
    """An error reaches the caller without it (rule: refuse clearly)."""
    gateway, talker = served

    def quoting(connection: ServerConnection) -> None:
        greet(connection)
        say(connection, "error", error={"message": f"Incorrect API key: {KEY}", "code": "x"})
        _wait(connection)

    talker.behave = quoting
    with session(gateway, gateway.user()) as caller:
        assert until(caller, "error")["error"]["message"] == "Incorrect API key: [hidden]"


def test_a_provider_that_quotes_an_own_key_is_not_repeated(served: Served) -> None:
    """Who talks in a project need not know the key of who stored it (rule: refuse clearly)."""
    gateway, talker = served
    own = "sk-own-0123456789abcdefWXYZ"

    def quoting(connection: ServerConnection) -> None:
        greet(connection)
        say(connection, "error", error={"message": f"Incorrect API key: {own}", "code": "x"})
        _wait(connection)

    talker.behave = quoting
    user = gateway.user()
    stored = httpx.post(
        f"{gateway.url}/user/provider-keys",
        headers={"authorization": f"Bearer {user.api_key}"},
        json={"provider": "talks", "key": own},
    )
    assert stored.status_code == 200, stored.text
    with session(gateway, user) as caller:
        assert until(caller, "error")["error"]["message"] == "Incorrect API key: [hidden]"
    assert talker.heads[-1][1]["authorization"] == f"Bearer {own}"


def test_binary_frames_of_a_caller_end_the_session(served: Served) -> None:
    """Events are text (rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = answering
    with session(gateway, gateway.user()) as caller:
        caller.send(b"\x00\x01")
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("binary_frame", 1003)


@pytest.mark.parametrize("frame", ["[" * 20_000, "{}", "null", '"x"', "{" + '"a":' * 9_000])
def test_what_is_no_event_is_refused_and_the_session_goes_on(served: Served, frame: str) -> None:
    """Whatever a caller sends (rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = answering
    with session(gateway, gateway.user()) as caller:
        caller.send(frame)
        assert until(caller, "error")["error"]["code"] == "realtime_invalid_event"
        ask(caller)
        until(caller, "response.done")


def test_a_giant_frame_of_a_caller_ends_the_session(served: Served) -> None:
    """It is not even read whole (rule: bounded)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        caller.send("x" * 100_000)
        _, code = closed(caller)
    assert code == 1009
    assert over(gateway, user, call)["status"] == "voided"


def test_a_caller_who_does_not_read_is_left(served: Served) -> None:
    """After a time; what was made is charged (P11, rule: bounded)."""
    gateway, talker = served
    audio = "AAAA" * 10_000

    def talkative(connection: ServerConnection) -> None:
        begun(connection)
        for _ in range(5_000):
            say(connection, "response.unknown", delta=audio)

    talker.behave = talkative
    user = gateway.user()
    with session(gateway, user, max_queue=1) as caller:
        call = call_of(caller)
        ask(caller)
        story = over(gateway, user, call)
        assert story["reason"] == "slow_reader"
        assert story["status"] == "settled"
        caller.socket.shutdown(2)  # Else its own good-bye waits for an answer it does not read.


def test_a_caller_who_leaves_in_the_middle_pays_for_what_was_made(served: Served) -> None:
    """And the provider's session ends (P11, money rule 5)."""
    gateway, talker = served

    def slow(connection: ServerConnection) -> None:
        begun(connection)
        _wait(connection)

    talker.behave = slow
    user = gateway.user()
    talker.ended.clear()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "response.output_text.delta")
        caller.socket.shutdown(2)
    story = over(gateway, user, call)
    assert (story["reason"], story["usage"]["output_tokens"]) == ("client_disconnected", 8)
    eventually(lambda: talker.ended)


def test_credits_that_end_end_the_session(served: Served) -> None:
    """The caller is told, nothing is spent that is not there, and no response is passed on that
    has no room (P1, money rule 2).
    """
    gateway, talker = served
    talker.behave = answering
    usage = USAGE | {"input_tokens": 20_000, "output_tokens": 4_000}
    dear = 20_000 * 4_000

    def costly(connection: ServerConnection) -> None:
        greet(connection)
        number = 0
        while True:
            hear(connection, "response.create")
            number += 1
            respond(connection, f"resp_{number}", usage)

    talker.behave = costly
    user = gateway.user(grant=USD)
    talker.heard.clear()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller)
        until(caller, "response.done")
        for _ in range(11):
            ask(caller)
        events, code = closed(caller)
        passed = len([each for each in talker.heard if each["type"] == "response.create"])
    assert (events[-1]["error"]["code"], code) == ("insufficient_credits", 1008)
    assert events[-1]["error"]["type"] == "insufficient_quota"
    assert 0 < passed < 12
    story = over(gateway, user, call)
    assert story["reason"] == "insufficient_credits"
    assert dear < story["settled_nano_usd"] <= story["held_nano_usd"] <= USD
    assert story["house_loss_nano_usd"] == 0


def test_a_session_begins_with_room_for_its_first_response(served: Served) -> None:
    """An account without it is told so before the upgrade (P1, P2)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user(grant=USD // 1_000)
    with pytest.raises(Exception, match="402"):
        session(gateway, user)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((429, "slow down"), 429, "upstream_rate_limited"),
        ((401, f"Incorrect API key: {KEY}"), 502, "upstream_error"),
        ((500, "oops"), 502, "upstream_error"),
        ((302, "elsewhere"), 502, "upstream_error"),
        (None, 504, "upstream_timeout"),
    ],
)
def test_a_provider_that_opens_no_session(
    served: Served, answer: tuple[int, str] | None, status: int, code: str
) -> None:
    """An honest status before the upgrade, and nothing is charged; no redirect is followed
    (money rule 4, rule: refuse clearly).
    """
    gateway, talker = served
    talker.behave, asked = answering, list[str]()

    def admit(connection: ServerConnection, request: Any) -> Any:
        asked.append(request.path)
        if answer is None:
            time.sleep(4)
            return connection.respond(500, "late")
        told = connection.respond(*answer)
        told.headers["Location"] = talker.base_url.replace("http", "ws")
        return told

    talker.admit = admit
    user = gateway.user()
    try:
        with pytest.raises(InvalidStatus) as refused:
            session(gateway, user)
    finally:
        talker.admit = lambda *_: None
    told = refused.value.response
    assert told.status_code == status
    assert told.body is not None
    error = json.loads(told.body)["error"]
    assert (error["code"], KEY in error["message"]) == (code, False)
    assert "Nothing was charged" in error["message"]
    assert asked == ["/v1/realtime?model=voice"]
    assert over(gateway, user, told.headers["x-gatewayz-call-id"])["status"] == "voided"


def test_audio_grows_the_hold_before_it_is_passed_on(served: Served) -> None:
    """Minutes of sound are held for before a response can read them (money rule 2)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        until(caller, "session.created")
        held = gateway.story(user, call)["held_nano_usd"]
        for _ in range(40):
            ask(caller, "input_audio_buffer.append", audio="A" * 60_000)
        ask(caller)
        until(caller, "response.done")
        assert gateway.story(user, call)["held_nano_usd"] > held
    story = over(gateway, user, call)
    assert story["settled_nano_usd"] == USAGE_NANO_USD
    assert "ledger.hold_extended.v1" in {each["type"] for each in story["events"]}
