"""Sessions with transcripts of what they hear: held for, charged once, by a price that is told."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.command_api.identity.test_key_limits import limited
from tests.command_api.realtime.provider import (
    USAGE_NANO_USD,
    ask,
    call_of,
    closed,
    greet,
    hear,
    respond,
    say,
    session,
    talking,
    until,
)
from tests.command_api.realtime.test_hostile import over
from tests.support.harness import USD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.server import ServerConnection

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.command_api.realtime.test_hostile import Served

TEXT = "It was a dark and stormy night"
SECOND = base64.b64encode(bytes(48_000)).decode()
KIND = "conversation.item.input_audio_transcription"
TOKENS = {
    "type": "tokens",
    "total_tokens": 22,
    "input_tokens": 13,
    "input_token_details": {"text_tokens": 3, "audio_tokens": 10},
    "output_tokens": 9,
}
TOKENS_NANO_USD = 3 * 2_500 + 10 * 6_000 + 9 * 10_000
MS_NANO_USD = 100
"""Of a millisecond, at 0.006 USD a minute."""


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway with a provider that has sessions, and models that write down what they hear."""
    with talking(server, tmp_path_factory) as made:
        yield made


def completed(connection: ServerConnection, item: str, usage: Any, text: str = TEXT) -> None:
    """A transcript is complete."""
    say(
        connection, f"{KIND}.completed", item_id=item, content_index=0, transcript=text, usage=usage
    )


def writing(*events: tuple[str, Any]) -> Callable[[ServerConnection], None]:
    """It says these transcripts of what is committed, and then that it is done."""

    def behave(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "input_audio_buffer.commit")
        say(connection, "input_audio_buffer.committed", item_id="item_1")
        for item, usage in events:
            completed(connection, item, usage)
        say(connection, "last")
        while True:
            connection.recv()

    return behave


def wish(model: str = "clock", **more: Any) -> dict[str, Any]:
    """An update that asks for transcripts."""
    return {"type": "realtime", "audio": {"input": {"transcription": {"model": model, **more}}}}


def transcribed(served: Served, user: NewUser, model: str, seconds: int = 1) -> dict[str, Any]:
    """The story of a session that heard so much."""
    gateway, _ = served
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller, "session.update", session=wish(model))
        for _ in range(seconds):
            ask(caller, "input_audio_buffer.append", audio=SECOND)
        ask(caller, "input_audio_buffer.commit")
        until(caller, "last")
    return over(gateway, user, call)


def test_a_length_is_charged_by_the_second_models_price(served: Served) -> None:
    """And the story tells it, term by term (P3, P4, money rule 1, money rule 12)."""
    gateway, talker = served
    talker.behave = writing(("item_1", {"type": "duration", "seconds": 0.9}))
    story = transcribed(served, gateway.user(), "clock")
    assert story["settled_nano_usd"] == 900 * MS_NANO_USD
    assert story["usage"]["uses"] == {"transcript_milliseconds": 900}
    assert story["usage"]["source"] == "provider"
    assert "transcripts by talks/clock@" in story["price"]["source"]
    (term,) = story["arithmetic"]["terms"]
    assert (term["term"], term["count"]) == ("transcript_milliseconds", 900)
    assert [each["type"] for each in talker.heard if each["type"] == "session.update"]


def test_tokens_and_responses_are_one_charge(served: Served) -> None:
    """Each by its own model's price, with one rounding (P3, P4, money rule 1)."""
    gateway, talker = served

    def both(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "input_audio_buffer.commit")
        respond(connection, "resp_1")
        completed(connection, "item_1", TOKENS)
        say(connection, "last")
        connection.recv()

    talker.behave = both
    user = gateway.user()
    story = transcribed(served, user, "scribe")
    assert story["settled_nano_usd"] == USAGE_NANO_USD + TOKENS_NANO_USD
    assert story["usage"]["uses"] == {
        "transcript_text_tokens": 3,
        "transcript_audio_tokens": 10,
        "transcript_output_tokens": 9,
    }
    assert [each["type"] for each in story["events"]].count("ledger.hold_settled.v1") == 1


def test_the_beta_asks_by_its_own_name(served: Served) -> None:
    """`input_audio_transcription` (money rule 1)."""
    gateway, talker = served
    talker.behave = writing(("item_1", {"type": "duration", "seconds": 1}))
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller, "session.update", session={"input_audio_transcription": {"model": "clock"}})
        ask(caller, "input_audio_buffer.append", audio=SECOND)
        ask(caller, "input_audio_buffer.commit")
        assert until(caller, f"{KIND}.completed")["transcript"] == TEXT
        until(caller, "last")
    assert over(gateway, user, call)["settled_nano_usd"] == 1_000 * MS_NANO_USD


@pytest.mark.parametrize(
    "seconds", [10**9, -1, 0, "many", True, 10**30, [1], {"seconds": 1}, 2.0001]
)
def test_a_report_that_cannot_be_is_our_count(served: Served, seconds: Any) -> None:
    """Absurd, negative, nothing for a text, no number: the audio's own length, marked
    (money rule 6, P1).
    """
    gateway, talker = served
    talker.behave = writing(("item_1", {"type": "duration", "seconds": seconds}))
    story = transcribed(served, gateway.user(), "clock")
    if seconds == 2.0001:  # The rounding of two items is room enough.
        assert story["usage"]["source"] == "provider"
        return
    assert story["settled_nano_usd"] == 1_000 * MS_NANO_USD
    assert (story["usage"]["source"], story["usage"]["implausible"]) == ("estimated", True)


@pytest.mark.parametrize("usage", [None, {}, TOKENS, "x"])
def test_no_report_is_our_count(served: Served, usage: Any) -> None:
    """None, or one in units that have no price (money rule 6)."""
    gateway, talker = served
    talker.behave = writing(("item_1", usage))
    story = transcribed(served, gateway.user(), "clock")
    assert story["settled_nano_usd"] == 1_000 * MS_NANO_USD
    assert story["usage"]["source"] == "estimated"


def test_an_item_is_charged_once_and_all_of_them_within_what_was_heard(served: Served) -> None:
    """Twice, and of items that nobody made (P1, P3)."""
    gateway, talker = served
    whole = {"type": "duration", "seconds": 1}
    talker.behave = writing(*(("item_1", whole),) * 3, *((f"fake_{n}", whole) for n in range(40)))
    story = transcribed(served, gateway.user(), "clock")
    assert 1_000 * MS_NANO_USD <= story["settled_nano_usd"] <= 12_000 * MS_NANO_USD
    assert story["settled_nano_usd"] <= story["held_nano_usd"]
    assert story["house_loss_nano_usd"] == 0


def test_pieces_without_an_end_are_charged_and_silence_is_not(served: Served) -> None:
    """What was received is counted here; an item of which nothing was, is free
    (P11, money rule 4).
    """
    gateway, talker = served

    def behave(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "input_audio_buffer.commit")
        say(connection, "input_audio_buffer.committed", item_id="item_1")
        say(connection, f"{KIND}.delta", item_id=talker_item[0], content_index=0, delta=TEXT)
        say(connection, f"{KIND}.failed", item_id="item_1", content_index=0, error={})
        say(connection, "last")
        connection.recv()

    talker.behave = behave
    talker_item = ["item_1"]
    story = transcribed(served, gateway.user(), "clock")
    assert story["settled_nano_usd"] == 1_000 * MS_NANO_USD
    assert story["usage"]["source"] == "estimated"

    def failing(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "input_audio_buffer.commit")
        say(connection, f"{KIND}.failed", item_id="item_1", content_index=0, error={})
        say(connection, "last")
        connection.recv()

    talker.behave = failing
    assert transcribed(served, gateway.user(), "clock")["status"] == "voided"


def test_a_transcript_that_nobody_asked_for_is_not_passed_on(served: Served) -> None:
    """It has no price in this session (P10)."""
    gateway, talker = served
    talker.behave = writing(("item_1", {"type": "duration", "seconds": 1}))
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller, "input_audio_buffer.append", audio=SECOND)
        ask(caller, "input_audio_buffer.commit")
        kinds = set[str]()
        while "last" not in kinds:
            kinds.add(json.loads(caller.recv(20))["type"])
    assert f"{KIND}.completed" not in kinds
    assert over(gateway, user, call)["status"] == "voided"


def test_a_flood_of_transcripts_ends_the_session(served: Served) -> None:
    """Text without measure, or items without number (rule: bounded)."""
    gateway, talker = served

    def flooding(connection: ServerConnection) -> None:
        greet(connection)
        hear(connection, "session.update")
        while True:
            say(connection, f"{KIND}.delta", item_id="a", content_index=0, delta=TEXT * 100)

    talker.behave = flooding
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller, "session.update", session=wish())
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("upstream_error", 1011)
    assert over(gateway, user, call)["settled_nano_usd"] <= 1_000 * MS_NANO_USD


def test_audio_is_held_for_before_it_is_passed_on(served: Served) -> None:
    """As the second model can cost at most, and without room the session ends
    (P1, money rule 2).
    """
    gateway, talker = served
    minutes = base64.b64encode(bytes(48_000 * 30)).decode()

    def listening(connection: ServerConnection) -> None:
        greet(connection)
        while True:
            hear(connection)

    talker.behave = listening
    user = gateway.user(grant=USD * 3 // 4)
    talker.heard.clear()
    with session(gateway, user) as caller:
        call = call_of(caller)
        ask(caller, "session.update", session=wish("scribe"))
        with suppress(ConnectionClosed):
            for _ in range(100):
                ask(caller, "input_audio_buffer.append", audio=minutes)
        events, code = closed(caller)
    assert (events[-1]["error"]["code"], code) == ("insufficient_credits", 1008)
    passed = len([each for each in talker.heard if each["type"] == "input_audio_buffer.append"])
    story = over(gateway, user, call)
    assert 0 < passed < 100
    assert passed * (1_000 * 6_000 + 500 * 10_000) < story["held_nano_usd"] <= USD * 3 // 4


@pytest.mark.parametrize(
    ("told", "code", "param"),
    [
        ({"model": "voice"}, "realtime_unpriced", "session.audio.input.transcription"),
        ({"model": "long"}, "realtime_unpriced", "session.audio.input.transcription"),
        ({"model": 7}, "realtime_unpriced", "session.audio.input.transcription"),
        ({"language": "en"}, "realtime_unpriced", "session.audio.input.transcription"),
        ("clock", "invalid_value", "session.audio.input.transcription"),
        (
            {"model": "clock", "prompt": "x" * 9_000},
            "invalid_value",
            "session.audio.input.transcription",
        ),
    ],
)
def test_a_wish_without_a_price_is_refused_by_name(
    served: Served, told: Any, code: str, param: str
) -> None:
    """It is not passed on, and the session goes on (P10, rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = writing()
    with session(gateway, gateway.user()) as caller:
        until(caller, "session.created")
        talker.heard.clear()
        ask(caller, "session.update", session={"audio": {"input": {"transcription": told}}})
        error = until(caller, "error")["error"]
        assert (error["code"], error["param"]) == (code, param)
        ask(caller, "input_audio_buffer.commit")
        until(caller, "last")
    assert [each["type"] for each in talker.heard] == ["input_audio_buffer.commit"]


def test_the_transcripts_of_a_session_are_by_one_model(served: Served) -> None:
    """The same may be asked for again, or turned off; another one is refused, as are two at once
    and one for a response alone (money rule 12, rule: refuse clearly).
    """
    gateway, talker = served
    talker.behave = writing()
    with session(gateway, gateway.user()) as caller:
        until(caller, "session.created")
        two = {**wish("scribe"), "input_audio_transcription": {"model": "clock"}}
        ask(caller, "session.update", session=two)
        assert until(caller, "error")["error"]["code"] == "invalid_value"
        for update in (wish(), wish(prompt="Names: Ada"), {"input_audio_transcription": None}):
            ask(caller, "session.update", session=update)
        ask(caller, "session.update", session=wish("scribe"))
        error = until(caller, "error")["error"]
        assert error["param"] == "session.audio.input.transcription.model"
        ask(caller, "response.create", response=wish())
        assert until(caller, "error")["error"]["code"] == "realtime_unpriced"


def test_a_keys_models_bind_transcripts_too(served: Served) -> None:
    """A key that may call the voice alone has none (rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = writing()
    user = limited(gateway, gateway.user(), models=["talks/voice"])
    with session(gateway, user) as caller:
        ask(caller, "session.update", session=wish())
        assert until(caller, "error")["error"]["code"] == "model_not_allowed"


def test_an_own_key_pays_its_fee_of_both(served: Served) -> None:
    """Both models are asked with it (money rule 1)."""
    gateway, talker = served
    talker.behave = writing(("item_1", {"type": "duration", "seconds": 1}))
    user = gateway.user()
    stored = httpx.post(
        f"{gateway.url}/user/provider-keys",
        headers={"authorization": f"Bearer {user.api_key}"},
        json={"provider": "talks", "key": "sk-own-0123456789abcdefWXYZ"},
    )
    assert stored.status_code == 200, stored.text
    story = transcribed(served, user, "clock")
    percent = gateway.settings.provider_keys.fee_percent
    assert story["settled_nano_usd"] == 1_000 * MS_NANO_USD * percent // 100
    assert story["attempts"][0]["own_key"]


def test_the_simulator_writes_down_what_it_hears(served: Served) -> None:
    """Without any provider's key (P2)."""
    gateway, _ = served
    user = gateway.user()
    with session(gateway, user, "simulator/talk") as caller:
        call = call_of(caller)
        ask(caller, "session.update", session=wish("listen"))
        ask(caller, "input_audio_buffer.append", audio=SECOND)
        ask(caller, "input_audio_buffer.commit")
        told = until(caller, f"{KIND}.completed")
    assert told["usage"] == {"type": "duration", "seconds": 1}
    story = over(gateway, user, call)
    assert story["settled_nano_usd"] == 1_000 * MS_NANO_USD
