"""Streams of each form, event by event, and guards that fail in the midst of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.guardrails.blocking import Checking
from command_api.guardrails.frames import CHANNELS_MAX
from command_api.guardrails.guarding import Guarded, Guarding
from command_api.guardrails.metrics import GuardCounts
from command_api.guardrails.redacting import Redaction
from command_api.guardrails.scanner import GuardedScanner, guarded
from command_api.replies.messages.native import MessagesScanner
from command_api.replies.responses.native import ResponsesScanner
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.sse import StreamScanner
from command_api.replies.texts.scanner import TextScanner
from domain.guardrails.personal import Kind
from domain.guardrails.terms import Terms
from domain.pricing.usage import Usage
from edge.errors import internal_error
from providers.inference.port import Operation

MAIL = "ann@example.org"
TERMS = Terms(["nightjar"])


class Rule:
    """A guard by its name and rule alone."""

    def __init__(self, name: str = "g", *, fail_open: bool = False) -> None:
        self.name, self.fail_open = name, fail_open

    def prompt(self, body: dict[str, Any]) -> Any:
        """It is not asked."""
        raise NotImplementedError


class Failing:
    """An output with a defect, that comes with a word."""

    decision = "passed"
    held = ""
    count = 0

    def whole(self, text: str, *, inside_json: bool) -> str:
        """Fails."""
        raise ZeroDivisionError

    def echoed(self, text: str) -> str:
        """The text."""
        return text

    def channel(self, *, inside_json: bool) -> Any:
        """Itself."""
        return self

    def add(self, more: str) -> str:
        """Holds all, until it fails."""
        if "defect" in more:
            raise ZeroDivisionError
        self.held += more
        return ""

    def end(self) -> str:
        """Fails."""
        raise ZeroDivisionError


class NoChannel(Failing):
    """It fails before the first text."""

    def channel(self, *, inside_json: bool) -> Any:
        """Fails."""
        raise ZeroDivisionError


def restoring() -> Guarded:
    """What restores MAIL."""
    redaction = Redaction("r", fail_open=False, kinds=[Kind.EMAIL], patterns=())
    looked = redaction.prompt({"messages": [{"content": MAIL}]})
    assert looked.output is not None
    return Guarded(redaction, looked.output)


def guarding(form: Operation, *guards: Guarded, shaped: bool = False) -> Guarding:
    """What guards are to a call of a form."""
    request: Any = None
    return Guarding(request, form, list(guards), [], GuardCounts(), policy="", shaped=shaped)


def checking() -> Guarded:
    """What blocks a term."""
    return Guarded(Rule("t"), Checking(TERMS))


def paid() -> tuple[Usage, int]:
    """Nothing."""
    return Usage(0, 0), 0


def event(name: str, **members: Any) -> bytes:
    """A named event."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **members})}\n\n".encode()


def read(scanner: Any, data: bytes, size: int) -> bytes:
    """A whole stream in pieces of so many bytes, to its end."""
    out: list[bytes] = [scanner.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*out, scanner.end(), scanner.ending(paid)])


def data_of(out: bytes) -> list[dict[str, Any]]:
    """The events of a stream; each has its name where its form has names."""
    found = []
    for block in out.split(b"\n\n"):
        lines = block.split(b"\n")
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        if data and data != [b"[DONE]"]:
            assert len(data) == 1
            made = json.loads(data[0])
            names = [line[6:].strip().decode() for line in lines if line.startswith(b"event:")]
            assert names == ([made["type"]] if names else [])
            found.append(made)
    return found


def block(*pieces: str, index: int = 0, thinking: str = "") -> bytes:
    """A block of Anthropic's."""
    kind, member = ("thinking_delta", "thinking") if thinking else ("text_delta", "text")
    made = [event("content_block_start", index=index, content_block={"type": member, member: ""})]
    made += [
        event("content_block_delta", index=index, delta={"type": kind, member: each})
        for each in pieces
    ]
    return b"".join(made) + event("content_block_stop", index=index)


MESSAGE = event("message_start", message={"id": "m", "usage": {"input_tokens": 1}})
MESSAGE_END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
MESSAGE_END += event("message_stop")


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_anthropics_own_stream_is_restored(size: int) -> None:
    """Block by block, cut at any byte; a tool's input stays JSON; a block that ends inside a
    placeholder ends so (rule: wire).
    """
    tool = [
        event("content_block_start", index=2, content_block={"type": "tool_use", "input": {}}),
        event(
            "content_block_delta",
            index=2,
            delta={"type": "input_json_delta", "partial_json": '{"a": "[EMA'},
        ),
        event(
            "content_block_delta",
            index=2,
            delta={"type": "input_json_delta", "partial_json": 'IL_1]"}'},
        ),
        event("content_block_stop", index=2),
    ]
    data = (
        MESSAGE
        + block("[EM", "AIL_1] x", thinking="t")
        + block("To [EMAIL_", "1], [EMAIL_", index=1)
    )
    data += b"".join(tool) + event("ping") + MESSAGE_END
    told = data_of(
        read(guarded(MessagesScanner(), guarding(Operation.MESSAGES, restoring())), data, size)
    )
    said: dict[int, str] = {}
    for each in told:
        if each["type"] == "content_block_delta":
            delta = each["delta"]
            text = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            said[each["index"]] = said.get(each["index"], "") + text
    assert said == {0: f"{MAIL} x", 1: f"To {MAIL}, [EMAIL_", 2: f'{{"a": "{MAIL}"}}'}
    kinds = [each["type"] for each in told]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_stop") == 3


def response(**members: Any) -> dict[str, Any]:
    """A response object that repeats its request."""
    made = {"id": "r", "output": [], "instructions": "Not nightjar, [EMAIL_1]"}
    return {**made, "text": {"format": {"type": "text"}}, "usage": None, **members}


def responses(*pieces: str) -> bytes:
    """A stream of OpenAI's own responses."""
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    whole = "".join(pieces)
    part = {"type": "output_text", "text": whole}
    item = {"type": "message", "id": "i", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 1, "output_tokens": 1}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": response()}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(
            ("response.output_text.delta", {**place, "delta": each, "logprobs": [1]})
            for each in pieces
        ),
        ("response.output_text.done", {**place, "text": whole}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": response(output=[item], usage=usage)}),
    ]
    return b"".join(
        event(name, sequence_number=at, **each) for at, (name, each) in enumerate(events)
    )


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_openais_own_responses_are_restored(size: int) -> None:
    """In pieces, in what tells them whole, and in the response; numbered without a gap
    (rule: wire).
    """
    scanner = guarded(ResponsesScanner(), guarding(Operation.RESPONSES, restoring(), checking()))
    told = data_of(read(scanner, responses("To [EMA", "IL_1] and [EMAIL_"), size))
    text = f"To {MAIL} and [EMAIL_"
    deltas = [each for each in told if each["type"] == "response.output_text.delta"]
    assert "".join(each["delta"] for each in deltas) == text
    assert not any(each["logprobs"] for each in deltas)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    made = {each["type"]: each for each in told}
    assert made["response.output_text.done"]["text"] == text
    assert made["response.content_part.done"]["part"]["text"] == text
    assert made["response.created"]["response"]["instructions"] == f"Not nightjar, {MAIL}"
    last = made["response.completed"]["response"]
    assert last["output"][0]["content"][0]["text"] == text
    assert scanner.response == last  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_refused_response_fails_without_what_it_made(size: int) -> None:
    """Its last event has no output, and it is stored as that says (rule: access)."""
    of_call = guarding(Operation.RESPONSES, checking())
    scanner: Any = guarded(ResponsesScanner(), of_call)
    out = read(scanner, responses("Fine. A night", "jar. "), size)
    assert of_call.refused is not None
    assert scanner.done
    last = scanner.broken(of_call.refused)
    (failed,) = data_of(last)
    assert failed["type"] == "response.failed"
    assert failed["response"]["output"] == []
    assert failed["response"]["error"]["code"]
    assert b"jar" not in out.replace(b"Not nightjar", b"")
    assert scanner.response == failed["response"]


def test_a_response_that_breaks_off_tells_what_was_held() -> None:
    """Or fails as refused where that says a term (rule: wire, rule: access)."""
    whole = responses("To [EMAIL_1]. And [EM")
    cut = whole[: whole.index(b"event: response.output_text.done")]
    scanner: Any = guarded(ResponsesScanner(), guarding(Operation.RESPONSES, restoring()))
    out = scanner.feed(cut) + scanner.broken(internal_error())
    deltas = [each["delta"] for each in data_of(out) if each["type"].endswith("delta")]
    assert "".join(deltas) == f"To {MAIL}. And [EM"
    assert data_of(out)[-1]["response"]["output"][0]["content"][0]["text"] == "".join(deltas)
    whole = responses("A nightjar")
    cut = whole[: whole.index(b"event: response.output_text.done")]
    scanner = guarded(ResponsesScanner(), guarding(Operation.RESPONSES, checking()))
    out = scanner.feed(cut) + scanner.broken(internal_error())
    assert b"A nightjar" not in out
    assert data_of(out)[-1]["response"]["output"] == []


def chunk(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of chat."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": {"content": [1]}}
    made = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
    return b"data: %b\n\n" % json.dumps({**made, "choices": [choice]}).encode()


def chat(of_call: Guarding) -> GuardedScanner:
    """A scanner of chat."""
    scanner = guarded(StreamScanner(keep_usage=True), of_call)
    assert isinstance(scanner, GuardedScanner)
    return scanner


def content(out: bytes, name: str = "content") -> str:
    """What chunks say."""
    deltas = [each["choices"][0]["delta"] for each in data_of(out) if each.get("choices")]
    return "".join(each.get(name) or "" for each in deltas)


def test_all_texts_of_a_choice_are_restored() -> None:
    """Reasoning, its details and refusals; what is held comes before the end, or in it
    (rule: wire).
    """
    details = [{"type": "reasoning.text", "index": 3, "text": "[EMAI", "signature": "[EMAIL_1]"}]
    data = [
        chunk({"reasoning": "[EMAIL_1] [EM", "reasoning_details": details, "refusal": None}),
        chunk({"content": "a [EMAIL"}),
        b": alive\n\n",
        chunk({"content": "_1"}, finish="stop"),
        chunk({"content": "["}, finish=None),
    ]
    out = read(chat(guarding(Operation.CHAT, restoring())), b"".join(data) + b"data: [DONE]\n\n", 9)
    assert content(out) == "a [EMAIL_1["
    assert content(out, "reasoning") == f"{MAIL} [EM"
    assert b'"text":"[EMAI"' in out.replace(b'"text": ', b'"text":')
    assert b'"signature":"[EMAIL_1]"' in out
    assert b": alive" in out
    assert b'"logprobs":{' not in out
    assert out.endswith(b"data: [DONE]\n\n")


def test_bare_texts_are_restored() -> None:
    """Of each choice its own (rule: wire)."""
    offer: Any = type("Offer", (), {"id": "m", "public_id": "p/m"})
    scanner = guarded(
        TextScanner(offer, "c", lambda usage: (usage, 0), keep_usage=False),
        guarding(Operation.COMPLETIONS, restoring()),
    )
    lines = b""
    for index, text in ((0, "[EMAIL"), (1, "[EM"), (0, "_1]"), (1, "x")):
        choice = {"index": index, "text": text, "finish_reason": None, "logprobs": None}
        made = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
        lines += b"data: %b\n\n" % json.dumps({**made, "choices": [choice]}).encode()
    out = read(scanner, lines + b"data: [DONE]\n\n", 11)
    said = ["", ""]
    for each in data_of(out):
        for choice in each["choices"]:
            said[choice["index"]] += choice["text"]
    assert said == [MAIL, "[EMx"]


@pytest.mark.parametrize("broken", [b'data: {"error": {"message": "no"}}\n\n', b"data: {\n\n"])
def test_what_passes_before_a_broken_event_is_looked_at(broken: bytes) -> None:
    """As all else (rule: access)."""
    scanner = chat(guarding(Operation.CHAT, restoring()))
    passed = b""
    try:
        scanner.feed(chunk({"content": "[EMAIL_1] ["}) + broken)
    except (StreamErrorChunk, BrokenStreamError) as error:
        passed = error.passed
    assert content(passed) + content(scanner.flushed()) == f"{MAIL} ["


def test_a_cut_stream_tells_nothing_beyond_its_cut() -> None:
    """What is held is dropped (money rule 2)."""
    scanner = chat(guarding(Operation.CHAT, restoring()))
    out = scanner.feed(chunk({"content": "one two ["}))
    assert scanner.within(out, 10_000) == out
    assert content(scanner.cut_short(paid)) == ""


@pytest.mark.parametrize("output", [Failing(), NoChannel()], ids=["text", "channel"])
@pytest.mark.parametrize("fail_open", [True, False], ids=["open", "closed"])
def test_a_guard_that_fails_in_a_stream_follows_its_rule(
    output: Failing, fail_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Open, all that it held is told, in order; closed, nothing more is (P10)."""
    output.held = ""
    of_call = guarding(Operation.CHAT, Guarded(Rule("f", fail_open=fail_open), output), restoring())
    data = (
        chunk({"content": "one [EMAIL_1] "})
        + chunk({"content": "defect"})
        + chunk({"content": "!"})
    )
    out = read(chat(of_call), data + chunk({}, finish="stop") + b"data: [DONE]\n\n", 10_000)
    assert of_call.failed
    assert "'f' failed at an answer (ZeroDivisionError)" in caplog.text
    if fail_open:
        assert content(out) == f"one {MAIL} defect!"
        assert of_call.refused is None
        assert b'"failed_open"' in of_call.members_of_end()
    else:
        assert "defect" not in content(out)
        assert of_call.refused is not None
        assert (of_call.refused.status, of_call.refused.code) == (503, "guardrail_failed")
        assert b'"failed_closed"' in of_call.members_of_end()


@pytest.mark.parametrize("fail_open", [True, False], ids=["open", "closed"])
def test_a_guard_that_fails_at_a_whole_answer_follows_its_rule(fail_open: bool) -> None:
    """The others go on (P10)."""
    of_call = guarding(
        Operation.CHAT, Guarded(Rule("f", fail_open=fail_open), Failing()), restoring()
    )
    body = {"choices": [{"message": {"content": "[EMAIL_1]"}}]}
    made = of_call.whole(body)
    assert (made["choices"][0]["message"]["content"] == MAIL) == fail_open
    assert (of_call.refused is None) == fail_open


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": [], "delta": {"content": "x"}}],
        [{"index": 0, "delta": {f"m{at}": "[" for at in range(CHANNELS_MAX + 1)}}],
    ],
    ids=["place", "texts"],
)
def test_an_event_that_cannot_be_looked_at_is_not_told(choices: Any) -> None:
    """Whatever its shape (rule: bounded, P10)."""

    class Odd(StreamScanner):
        def feed(self, data: bytes) -> bytes:
            return data

    of_call = guarding(Operation.CHAT, restoring())
    scanner = guarded(Odd(keep_usage=True), of_call)
    assert scanner.feed(b"data: %b\n\n" % json.dumps({"choices": choices}).encode()) == b""
    assert of_call.refused is not None
    assert scanner.feed(chunk({"content": "x"})) == b""


def test_where_no_guard_looks_at_answers_nothing_stands_between() -> None:
    """The scanner is the provider's own (rule: calls first)."""
    scanner = StreamScanner(keep_usage=True)
    assert guarded(scanner, None) is scanner
    assert guarded(scanner, guarding(Operation.CHAT)) is scanner
