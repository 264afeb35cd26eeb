"""Sessions that go well: what passes, what is charged, and who may have one."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.command_api.realtime.provider import (
    KEY,
    USAGE_NANO_USD,
    Talker,
    answering,
    ask,
    call_of,
    session,
    talking,
    until,
)
from tests.support.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

pytestmark = pytest.mark.filterwarnings(
    "ignore:connect\\(\\) must be used as a context manager:DeprecationWarning"
)
"""OpenAI's client opens the library's connections without one."""


@pytest.fixture(scope="module")
def served(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, Talker]]:
    """A gateway and a provider with sessions."""
    with talking(server, tmp_path_factory) as made:
        yield made


def settled(gateway: RunningGateway, user: NewUser, call: str, status: str = "settled") -> Any:
    """The call's story once it is over."""
    return eventually(
        lambda: (told := gateway.story(user, call))["status"] == status and told,
    )


def test_responses_add_up_to_one_charge(served: tuple[RunningGateway, Talker]) -> None:
    """By kind and exactly, once at the end, under one call (P3, P4, money rule 1)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        until(caller, "session.created")
        for _ in range(3):
            ask(caller)
            until(caller, "response.done")
        assert gateway.story(user, call)["status"] == "held"
    story = settled(gateway, user, call)
    assert story["settled_nano_usd"] == 3 * USAGE_NANO_USD
    assert story["usage"]["cached_audio_input_tokens"] == 12
    assert story["usage"]["audio_output_tokens"] == 273
    assert story["usage"]["source"] == "provider"
    terms = story["arithmetic"]["terms"]
    assert sum(float(each["nano_usd"]) for each in terms) == 3 * USAGE_NANO_USD
    assert {each["term"] for each in terms} >= {"cached_audio_input", "audio_output"}
    assert story["reason"] == "completed"
    path, headers = talker.heads[-1]
    assert path == "/v1/realtime?model=voice"
    assert headers["authorization"] == f"Bearer {KEY}"


def test_a_session_without_a_response_costs_nothing(
    served: tuple[RunningGateway, Talker],
) -> None:
    """Its hold is released (money rule 4, P2)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    with session(gateway, user) as caller:
        call = call_of(caller)
        until(caller, "session.created")
    story = settled(gateway, user, call, "voided")
    assert (story["settled_nano_usd"], story["usage"]) == (0, None)


def test_a_browser_brings_its_key_as_a_subprotocol(served: tuple[RunningGateway, Talker]) -> None:
    """`realtime` is answered, and the key is repeated nowhere (rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    offered = ["realtime", f"openai-insecure-api-key.{user.api_key}", "openai-beta.realtime-v1"]
    with session(gateway, user, additional_headers={}, subprotocols=offered) as caller:
        assert caller.subprotocol == "realtime"
        until(caller, "session.created")
    assert not any(user.api_key in str(head) for head in talker.heads)


def test_the_openai_client_talks_to_the_simulator(served: tuple[RunningGateway, Talker]) -> None:
    """Text and audio, without any provider's key (P2, money rule 1)."""
    gateway, _ = served
    user = gateway.user()
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key=user.api_key)
    with client.realtime.connect(model="simulator/talk") as connection:
        kinds, text = list[str](), ""
        assert connection.recv().type == "session.created"
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert connection.recv().type == "session.updated"
        content: Any = [{"type": "input_text", "text": "Say hello to everybody"}]
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        connection.response.create()
        for event in connection:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.done":
                assert event.response.usage is not None
                break
        assert text == "Say hello to everybody"
        assert kinds[:3] == [
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
        audio = base64.b64encode(bytes(48_000)).decode()
        connection.input_audio_buffer.append(audio=audio)
        connection.input_audio_buffer.commit()
        connection.response.create(response={"output_modalities": ["audio"]})
        sound, usage = b"", None
        for event in connection:
            if event.type == "response.output_audio.delta":
                sound += base64.b64decode(event.delta)
            if event.type == "response.done":
                usage = event.response.usage
                break
        assert len(sound) > 4_800
        assert usage is not None
        assert usage.input_token_details is not None
        assert usage.input_token_details.audio_tokens == 10


def test_the_async_client_too(served: tuple[RunningGateway, Talker]) -> None:
    """The same session in asyncio (P2)."""
    gateway, talker = served
    talker.behave = answering
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.user().api_key)

    async def talk() -> str | None:
        async with client.realtime.connect(model="talks/voice") as connection:
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    return event.response.id
        return None

    assert asyncio.run(talk()) == "resp_1"


def test_events_pass_as_they_are_understood(served: tuple[RunningGateway, Talker]) -> None:
    """What stands twice means to the provider what it meant here (rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = answering
    with session(gateway, gateway.user()) as caller:
        until(caller, "session.created")
        talker.heard.clear()
        caller.send(
            '{"type":"session.update","session":{"type":"realtime",'
            '"audio":{"input":{"transcription":{"model":"w"},"transcription":null}}}}'
        )
        ask(caller, "input_audio_buffer.append", audio="AAAA", event_id="mine")
        ask(caller)
        until(caller, "response.done")
    update, append, _ = talker.heard
    assert update["session"]["audio"]["input"] == {"transcription": None}
    assert append == {"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "mine"}


def test_sessions_know_nothing_of_each_other(served: tuple[RunningGateway, Talker]) -> None:
    """Each has its own provider's session, its own call, its own charge (P3)."""
    gateway, talker = served
    talker.behave = answering
    one, other = gateway.user(), gateway.user()
    with session(gateway, one) as first, session(gateway, other) as second:
        until(first, "session.created")
        until(second, "session.created")
        ask(first)
        until(first, "response.done")
        with pytest.raises(TimeoutError):
            second.recv(0.3)
        calls = call_of(first), call_of(second)
    assert settled(gateway, one, calls[0])["settled_nano_usd"] == USAGE_NANO_USD
    assert settled(gateway, other, calls[1], "voided")["settled_nano_usd"] == 0


def test_metrics_tell_of_sessions(served: tuple[RunningGateway, Talker]) -> None:
    """How many are open, and how the others ended (rule: bounded)."""
    gateway, talker = served
    talker.behave = answering
    with session(gateway, gateway.user()) as caller:
        until(caller, "session.created")
        eventually(lambda: "gatewayz_realtime_sessions 1.0" in _metrics(gateway))
    ended = 'gatewayz_realtime_sessions_ended_total{reason="completed"}'
    eventually(lambda: ended in _metrics(gateway))


def _metrics(gateway: RunningGateway) -> str:
    return httpx.get(f"{gateway.url}/metrics").text


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "session.update", "session": {"type": "transcription"}}, "session.type"),
        ({"type": "session.update", "session": {"model": "other"}}, "session.model"),
        ({"type": "session.update", "session": {"prompt": {"id": "p"}}}, "session.prompt"),
        ({"type": "session.update", "session": {"tracing": "auto"}}, "session.tracing"),
        (
            {"type": "session.update", "session": {"input_audio_transcription": {"model": "w"}}},
            "session.input_audio_transcription",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"transcription": {"model": "w"}}}},
            },
            "session.audio.input.transcription",
        ),
        (
            {"type": "session.update", "session": {"tools": [{"type": "mcp"}]}},
            "session.tools[0].type",
        ),
        (
            {"type": "response.create", "response": {"tools": [{"type": "mcp"}]}},
            "response.tools[0].type",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"format": "mp3"}}}},
            "session.audio.input.format",
        ),
        ({"type": "transcription_session.update"}, "type"),
        ({"type": "conversation.item.create", "item": {"type": "mcp_call"}}, "item.type"),
        ({"type": 7}, "type"),
        ({}, "type"),
        ([], None),
    ],
)
def test_what_has_no_price_is_refused_by_name(
    served: tuple[RunningGateway, Talker], event: Any, param: str | None
) -> None:
    """It is not passed on, and the session goes on (P10, rule: refuse clearly)."""
    gateway, talker = served
    talker.behave = answering
    with session(gateway, gateway.user()) as caller:
        until(caller, "session.created")
        talker.heard.clear()
        told = {**event, "event_id": "mine"} if isinstance(event, dict) else event
        caller.send(json.dumps(told))
        error = until(caller, "error")["error"]
        assert error["param"] == param
        assert error["event_id"] == ("mine" if isinstance(event, dict) else None)
        ask(caller)
        until(caller, "response.done")
    assert [each["type"] for each in talker.heard] == ["response.create"]


def test_images_need_a_price(served: tuple[RunningGateway, Talker]) -> None:
    """Where images have none, an image is refused, and text is not (P10)."""
    gateway, talker = served
    talker.behave = answering
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    item = {"type": "message", "role": "user", "content": [picture]}
    for model, passed in (("talks/voice", True), ("talks/blind", False)):
        with session(gateway, gateway.user(), model) as caller:
            until(caller, "session.created")
            talker.heard.clear()
            ask(caller, "conversation.item.create", item=item)
            if not passed:
                assert until(caller, "error")["error"]["code"] == "realtime_unpriced"
            ask(caller)
            until(caller, "response.done")
        kinds = [each["type"] for each in talker.heard]
        assert ("conversation.item.create" in kinds) is passed
