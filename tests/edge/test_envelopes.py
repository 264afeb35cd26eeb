"""The envelopes of errors, by path."""

from __future__ import annotations

import json

import pytest

from edge.envelopes import ANTHROPIC, OPENAI, PLAIN, TYPES, Envelope, envelope_of
from edge.errors import ApiError, bad_request, unavailable

PATHS: list[tuple[str, Envelope]] = [
    ("/v1/messages", ANTHROPIC),
    ("/v1/messages/count_tokens", ANTHROPIC),
    ("/v1/messages/", ANTHROPIC),
    ("/v1/messages2", OPENAI),
    ("/v1/chat/completions", OPENAI),
    ("/v1/", OPENAI),
    ("/v1", PLAIN),
    ("/user/balance", PLAIN),
    ("", PLAIN),
]


@pytest.mark.parametrize(("path", "envelope"), PATHS)
def test_each_path_has_its_envelope(path: str, envelope: Envelope) -> None:
    """OpenAI's below /v1, Anthropic's on its own, ours elsewhere (rule: contract)."""
    assert envelope_of(path) is envelope


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 504]
)
def test_anthropics_types_follow_the_status(status: int) -> None:
    """Each status has one of its types; the message is ours (rule: contract)."""
    error = ApiError(status, "some_code", "Do this.", extra={"needed_nano_usd": 7})
    told = json.loads(ANTHROPIC.body(error, "req"))
    default = "invalid_request_error" if status < 500 else "api_error"
    assert told == {
        "type": "error",
        "error": {
            "type": TYPES.get(status, default),
            "message": "Do this.",
            "code": "some_code",
            "needed_nano_usd": 7,
        },
        "request_id": "req",
    }
    assert ANTHROPIC.status(error) == status


def test_only_an_overloaded_provider_is_529() -> None:
    """What is away here stays 503, of the same type (rule: contract)."""
    theirs = ApiError(503, "upstream_unavailable", "Busy.")
    ours = unavailable("ledger_unavailable", "Away.")
    assert [ANTHROPIC.status(each) for each in (theirs, ours)] == [529, 503]
    assert [OPENAI.status(each) for each in (theirs, ours)] == [503, 503]
    kinds = {json.loads(ANTHROPIC.body(each, ""))["error"]["type"] for each in (theirs, ours)}
    assert kinds == {"overloaded_error"}


def test_a_stream_ends_in_the_words_of_its_api() -> None:
    """A chunk and [DONE], or an event (rule: wire)."""
    error = bad_request("c", "M", "p")
    assert OPENAI.last_events(error, "r") == b"data: " + error.openai() + b"\n\ndata: [DONE]\n\n"
    body = ANTHROPIC.body(error, "r")
    assert ANTHROPIC.last_events(error, "r") == b"event: error\ndata: " + body + b"\n\n"
    assert json.loads(body)["error"]["param"] == "p"
    assert json.loads(PLAIN.body(error, "r")) == {"detail": "M", "code": "c"}
