"""Real completions of bare prompts replayed: text, ends and usage, to the token, as they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai.types import Completion

from tests.providers.inference.playing import check_charge, play, playing
from tests.providers.inference.recordings import (
    COMPLETIONS,
    WIRE,
    Counts,
    Recording,
    recordings,
)

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

OWN = recordings((COMPLETIONS,))
ENDS = {"stop", "length", "content_filter"}


def played(recording: Recording) -> bool:
    """Streams that were kept as a list of objects are no bytes of a provider's."""
    return not recording.response["body"].startswith("[")


FOUND = [each for each in OWN if played(each)]


@pytest.fixture(scope="module")
def native(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway whose providers all complete bare prompts."""
    with playing(server, tmp_path_factory, FOUND, "completions = true") as made:
        yield made


@pytest.mark.skipif(not WIRE.is_dir(), reason="the closing line names the missing recordings")
def test_there_are_recordings() -> None:
    """A folder that shrank would let this file pass without testing much (rule: tidy)."""
    assert len(FOUND) >= 6
    assert {each.provider for each in FOUND} >= {"openai", "together", "fireworks"}


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("recording", FOUND, ids=lambda each: each.name)
def test_a_recording_is_passed_on(
    native: RunningGateway, recording: Recording, seed: int | None
) -> None:
    """What was said, why it ended, and what it used, in OpenAI's types
    (P4, money rule 4, money rule 6, rule: wire).
    """
    play(native.upstream, recording, seed)
    user = native.user()
    asked = recording.record["request"]["body"]
    sent = {name: value for name, value in asked.items() if value is not None}
    streams = bool(recording.response["sse"])
    body = {**sent, "model": f"{recording.provider}/recorded/model", "stream": streams}
    with native.client(user) as client:
        got = client.post("/v1/completions", json=body)
    story = native.story(user, got)
    if recording.response["status"] != 200:
        assert (story["status"], got.status_code) == ("voided", 400)
        return
    assert story["status"] == "settled"
    told = told_of(got.text) if streams else [got.json()]
    theirs = recording.events()
    assert said(told) == said(theirs)
    for each in told:
        if not streams:  # OpenAI's own chunks do not fit the type that its SDK has for them.
            Completion.model_validate(each)
        assert each["object"] == "text_completion"
        assert {x["finish_reason"] for x in each["choices"]} <= {*ENDS, None}
    report = next((each["usage"] for each in theirs if each.get("usage")), None)
    counts = report and Counts(report["prompt_tokens"], report["completion_tokens"])
    check_charge(story, counts)


def told_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def said(chunks: list[dict[str, Any]]) -> str:
    """All of it, choice after choice."""
    return "".join(each["text"] for chunk in chunks for each in chunk["choices"])
