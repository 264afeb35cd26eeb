"""The same conversations through each API with each kind of provider, whole and streamed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.messages import asked_last
from tests.e2e.conversations.fates import (
    AGGREGATORS,
    ANTHROPIC,
    APIS,
    CHAT,
    COMPLETIONS,
    FATES,
    GEMINI,
    KINDS,
    MESSAGES,
    OPENAI,
    RESPONSES,
    SHAPED,
    fate,
    sayable,
    spoken,
)
from tests.e2e.conversations.talks import ROLL, TALKS, Asked, Said, Say, Talk, Usage, model, user
from tests.support.harness import (
    ScriptedUpstream,
    begin_stream,
    reply,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.e2e.conversations.forms import ProvidersForm
    from tests.support.harness import Request, RunningGateway

PROVIDER = """
[[provider]]
name = "{name}"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "{model}"
input_per_million = "3"
cached_input_per_million = "0.5"
output_per_million = "15"
audio_input_per_million = "3"
context_length = 200000
max_output_tokens = 8192
"""
CASES = [
    pytest.param(api, kind, talk, id=f"{api} at {kind}, {talk.name}")
    for api in APIS
    for kind in KINDS
    for talk in sayable(api)
]
RESULT = Say("tool", "4", result_of=ROLL.id)
SIGNED = Talk(
    "a signed call",
    Asked((user(),), tools=("roll",)),
    Said(model("", ROLL, thought="Let me see.", signature="SIG"), "tool_calls"),
)


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a provider of each kind, all played by one upstream."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(lambda connection, _: reply(connection, b'{"data":[]}'))
    text = "".join(
        PROVIDER.format(name=kind.provider, model=kind.model, base_url=upstream.base_url)
        for kind in KINDS.values()
    )
    with (
        fresh_database(server) as database,
        running_gateway(
            database, tmp_path_factory.mktemp("home"), upstream, providers=text
        ) as made,
    ):
        yield made
        made.verified()
    upstream.close()


@pytest.fixture(scope="module")
def caller(served: RunningGateway) -> NewUser:
    """Who has all the conversations."""
    return served.user()


def play(gateway: RunningGateway, speaks: ProvidersForm, said: Said, *, stream: bool) -> None:
    """The provider says this."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        elif stream:
            begin_stream(connection)
            for piece in speaks.pieces(said):
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
        else:
            reply(connection, json.dumps(speaks.answer(said)).encode())

    gateway.upstream.answer = answer


def sent(api: str, kind: str, body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The body with what each call has."""
    found = KINDS[kind]
    body = {**body, "model": f"{found.provider}/{found.model}", "stream": stream}
    if stream and api in (CHAT, COMPLETIONS):
        body["stream_options"] = {"include_usage": True}
    return body


def cost(usage: Usage) -> int:
    """By the prices above, in nano-USD."""
    return (usage.input - usage.cached) * 3_000 + usage.cached * 500 + usage.output * 15_000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("api", "kind", "talk"), CASES)
def test_what_is_said_arrives_and_costs_the_same(
    served: RunningGateway, caller: NewUser, api: str, kind: str, talk: Talk, stream: bool
) -> None:
    """Content, tools, ends, usage and money are those of the conversation, whatever API and
    provider it goes through; the table tells what is not (money rule 4, rule: translation).
    """
    form, speaks = spoken(api, kind)
    play(served, speaks, talk.said, stream=stream)
    before = served.upstream.calls
    with served.client(caller) as client:
        body = sent(api, kind, form.body(talk.asked), stream=stream)
        got = client.post(form.path, json=body)
    expected = fate(api, kind, talk)
    story = served.story(caller, got)
    if expected.refused:
        assert got.status_code == 400
        assert "unsupported_by_provider" in got.text
        assert (story["status"], served.upstream.calls) == ("voided", before)
        return
    assert got.status_code == 200, got.text
    assert speaks.asked(asked_last(served).body) == expected.arrives(talk.asked)
    heard = form.streamed(got.content) if stream else form.whole(got.json())
    assert heard == form.hears(speaks.tells(talk.said))
    usage = talk.said.usage
    told = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    assert tuple(story["usage"][name] for name in told) == (
        *(usage.input, usage.output),
        *(usage.cached, usage.reasoning),
    )
    assert (story["status"], story["settled_nano_usd"]) == ("settled", cost(usage))


COMES_BACK = {
    (CHAT, AGGREGATORS): ("Let me see.", "SIG"),
    (CHAT, ANTHROPIC): ("Let me see.", "SIG"),
    (CHAT, SHAPED): ("Let me see.", ""),
    (CHAT, OPENAI): ("", ""),
    (CHAT, GEMINI): ("", "SIG"),
    (MESSAGES, AGGREGATORS): ("Let me see.", "SIG"),
    (MESSAGES, ANTHROPIC): ("Let me see.", "SIG"),
    (MESSAGES, SHAPED): ("", ""),
    (MESSAGES, OPENAI): ("", ""),
    (MESSAGES, GEMINI): ("", "SIG"),
    (RESPONSES, AGGREGATORS): ("Let me see.", "SIG"),
    (RESPONSES, ANTHROPIC): ("Let me see.", "SIG"),
    (RESPONSES, SHAPED): ("", ""),
    (RESPONSES, OPENAI): ("Let me see.", "SIG"),
    (RESPONSES, GEMINI): ("", "SIG"),
}


@pytest.mark.parametrize(("api", "kind"), COMES_BACK, ids=str)
def test_an_answer_goes_back_as_it_came(
    served: RunningGateway, caller: NewUser, api: str, kind: str
) -> None:
    """Who sends an answer back with a tool's result need not know what is signed in it
    (rule: translation).
    """
    form, speaks = spoken(api, kind)
    play(served, speaks, SIGNED.said, stream=False)
    with served.client(caller) as client:
        first = sent(api, kind, form.body(SIGNED.asked), stream=False)
        got = client.post(form.path, json=first)
        play(served, speaks, TALKS[0].said, stream=False)
        result = replace(RESULT, result_of=_id_in(got.text))
        again = client.post(form.path, json=form.goes_on(first, got.json(), result))
    assert again.status_code == 200, again.text
    _, said, last = speaks.asked(asked_last(served).body).turns
    assert (said.thought, said.signature) == COMES_BACK[api, kind]
    assert (said.calls, last.text) == ((ROLL,), RESULT.text)


def _id_in(text: str) -> str:
    """The id of the only call: Gemini's is the gateway's own."""
    return next(part for part in text.split('"') if part.startswith("call_") and part != "call_id")


@pytest.mark.parametrize("api", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("made_by", list(KINDS))
@pytest.mark.parametrize("goes_to", list(KINDS))
def test_a_conversation_moves_to_another_provider(
    served: RunningGateway, caller: NewUser, api: str, made_by: str, goes_to: str
) -> None:
    """No provider is sent thoughts or signatures of another's, which it would refuse
    (rule: translation).
    """
    form, speaks = spoken(api, made_by)
    play(served, speaks, SIGNED.said, stream=False)
    with served.client(caller) as client:
        first = sent(api, made_by, form.body(SIGNED.asked), stream=False)
        got = client.post(form.path, json=first)
        result = replace(RESULT, result_of=_id_in(got.text))
        body = form.goes_on(first, got.json(), result)
        form, speaks = spoken(api, goes_to)
        play(served, speaks, TALKS[0].said, stream=False)
        again = client.post(form.path, json=sent(api, goes_to, body, stream=False))
    assert again.status_code == 200, again.text
    asked = asked_last(served)
    assert speaks.asked(asked.body).turns[1].calls == (ROLL,)
    if goes_to == ANTHROPIC and made_by not in (ANTHROPIC, AGGREGATORS):
        assert b"thinking" not in asked.raw
    if goes_to == GEMINI and made_by != GEMINI:
        assert b'"skip_thought_signature_validator"' in asked.raw


def test_the_table_has_no_line_for_nothing() -> None:
    """Each fate that differs is that of a conversation which can be had (rule: docs)."""
    talks = {api: {talk.name for talk in sayable(api)} for api in APIS}
    assert all(name in talks[api] and kind in KINDS for api, kind, name in FATES)
