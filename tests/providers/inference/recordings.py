"""Real provider traffic as test data, and what must come of it, told without the gateway's code.

The hand-written fixtures of `tests/providers/fixtures` are always played, so that a bare clone
tests every translator. The recordings' folder is GATEWAYZ_WIRE_DIR, by default ../shared/wire;
`recordings.txt` lists how many each of its folders holds, and the run says which are missing.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
WIRE = Path(os.environ.get("GATEWAYZ_WIRE_DIR", ROOT.parent / "shared" / "wire"))
FIXTURES = ROOT / "tests/providers/fixtures"
LISTED = ROOT / "tests/providers/recordings.txt"

CHAT, MESSAGES, GENERATE = "chat", "messages", "generate"
EMBEDDINGS, IMAGE = "embeddings", "image"
RESPONSES = "responses"
"""Of this API only what was sent to create one: it has tests of its own."""
COMPLETIONS = "completions"
"""Of bare prompts, by their path; tests of their own, too."""
OPERATIONS = (CHAT, MESSAGES, GENERATE, EMBEDDINGS, IMAGE)
SERVED_AS = {"gemini-studio": "google-vertex"}
"""Providers whose traffic another one's protocol stands for."""
NOT_FOUND: dict[str, int] = {}
"""Recordings that the run looked for and lacks, by folder, for the closing line."""
NOT_CALLS = ("/count_tokens", "/batches", ":batchEmbedContents", "/responses/")
"""Paths of recordings that are no call of the gateway's."""


@dataclass(frozen=True)
class Recording:
    """One exchange, and through which provider of ours it is played."""

    path: Path
    provider: str
    operation: str
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """Folder and file, and whether it was written by hand."""
        name = f"{self.path.parent.name}/{self.path.stem}"
        return f"by-hand/{name}" if self.by_hand else name

    @property
    def by_hand(self) -> bool:
        """Whether it is a fixture of ours."""
        return self.path.is_relative_to(FIXTURES)

    @property
    def response(self) -> dict[str, Any]:
        """What the provider answered."""
        found: dict[str, Any] = self.record["response"]
        return found

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream of events."""
        return bool(self.response["sse"]) and self.response["status"] == 200

    @property
    def native(self) -> bool:
        """Whether the provider speaks OpenAI's API, so that its bytes pass."""
        return self.operation == CHAT

    def pieces(self, seed: int | None) -> list[bytes]:
        """The body as the network brought it, or split at random bytes."""
        body = self.response["body"].encode()
        chunks = self.response.get("chunks")
        if seed is None and chunks:
            parts = [each.encode() for each in chunks if isinstance(each, str)]
            if b"".join(parts) == body:
                return parts
        if seed is None:
            return [body]
        dice = random.Random(seed)
        cuts = sorted({dice.randrange(1, max(2, len(body))) for _ in range(min(40, len(body)))})
        return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]

    def events(self) -> list[dict[str, Any]]:
        """The JSON objects of the answer: the events of a stream, or the one body."""
        body = self.response["body"]
        if not self.response["sse"]:
            try:
                value = json.loads(body)
            except json.JSONDecodeError:
                return []
            return value if isinstance(value, list) else [value]
        lines = [line[5:].strip() for line in body.splitlines() if line.startswith("data:")]
        return [json.loads(line) for line in lines if line and line != "[DONE]"]


def recordings(operations: tuple[str, ...] = OPERATIONS) -> list[Recording]:
    """The hand-written fixtures, and all recordings there are of calls that the gateway serves."""
    found = []
    for path in sorted([*FIXTURES.glob("*/*.json"), *WIRE.glob("*/*.json")]):
        operation = path.stem.partition("-")[0]
        record = json.loads(path.read_text())
        where = record["request"]["path"]
        if operation == "other" and path.parent.name == "fal" and record["request"]["body"]:
            operation = IMAGE
        if operation == "other" and where.endswith("/completions") and "/chat/" not in where:
            operation = COMPLETIONS
        if operation not in operations or any(each in where for each in NOT_CALLS):
            continue
        if path.parent.name == "gemini-studio" and operation == EMBEDDINGS:
            continue  # Google AI Studio's own form, which Vertex AI does not speak.
        if path.parent.name == "openai" and operation == MESSAGES:
            continue
        provider = path.parent.name.partition("-via-")[0]
        if operation in (MESSAGES, GENERATE) or provider not in SERVED_AS:
            provider = SERVED_AS.get(provider, provider)
        found.append(Recording(path, provider, operation, record))
    return found


def listed() -> dict[str, int]:
    """How many recordings each folder holds where all are there: the lines of `recordings.txt`."""
    lines = [line.split() for line in LISTED.read_text().splitlines()]
    return {folder: int(count) for folder, count in lines}


def missing(found: list[Recording]) -> dict[str, int]:
    """By folder, how many of the listed recordings are not among those found."""
    there = Counter(each.path.parent.name for each in found if not each.by_hand)
    short = {folder: count - there[folder] for folder, count in listed().items()}
    return {folder: count for folder, count in short.items() if count > 0}


def missing_line(short: dict[str, int]) -> str:
    """What a run without these recordings did not test; empty when none is missing."""
    if not short:
        return ""
    folders = ", ".join(f"{folder} {count}" for folder, count in sorted(short.items()))
    return f"{sum(short.values())} recordings of {len(short)} folders missing: {folders}"


@dataclass(frozen=True)
class Counts:
    """Tokens as they must be charged."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


def expected_counts(recording: Recording) -> Counts | None:
    """What the provider says was used, by its own documented rules; None when it does not."""
    events = recording.events()
    if recording.operation == MESSAGES:
        return _anthropic(events)
    if recording.operation == GENERATE:
        return _gemini(events)
    if recording.operation == RESPONSES:
        return _responses(events)
    reports = [event["usage"] for event in events if event.get("usage")]
    if recording.provider == "google-vertex":
        return _vertex_embeddings(events)
    return _openai(reports[-1]) if reports else None


def _openai(usage: dict[str, Any]) -> Counts | None:
    """OpenAI's report: the last one counts, they are never added up."""
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens") or 0
    if prompt is None:
        prompt, completion = usage.get("input_tokens"), usage.get("output_tokens") or 0
    if prompt is None:
        return None
    of_prompt = usage.get("prompt_tokens_details") or {}
    made = usage.get("completion_tokens_details") or {}
    reasoning = made.get("reasoning_tokens") or 0
    total = usage.get("total_tokens") or 0
    # xAI and Gemini count thoughts nowhere but in the total.
    output = max(completion, total - prompt)
    hidden = output - completion
    cached = (
        of_prompt.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or usage.get("cached_tokens")
        or usage.get("num_cached_tokens")
        or 0
    )
    written = of_prompt.get("cache_write_tokens") or 0
    # Azure was seen with more cached tokens than the prompt has: no more than all are cached.
    return Counts(prompt, output, min(cached, prompt), written, min(output, max(reasoning, hidden)))


def _responses(events: list[dict[str, Any]]) -> Counts | None:
    """OpenAI's of Responses: the whole body's, or the last event's."""
    last = events[-1].get("response", events[-1])
    usage = last.get("usage")
    if not usage:
        return None
    of_input, made = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details")
    return Counts(
        usage["input_tokens"],
        usage["output_tokens"],
        of_input.get("cached_tokens") or 0,
        of_input.get("cache_write_tokens") or 0,
        (made or {}).get("reasoning_tokens") or 0,
    )


def _anthropic(events: list[dict[str, Any]]) -> Counts | None:
    """Anthropic's: input_tokens leaves cached ones out; of a stream the last word counts."""
    usage: dict[str, Any] = {}
    for event in events:
        report = event.get("usage") or (event.get("message") or {}).get("usage") or {}
        usage.update({name: value for name, value in report.items() if value is not None})
    if not usage:
        return None
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt, output = usage["input_tokens"] + cached + written, usage["output_tokens"]
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Counts(prompt, output, cached, written, thought)


def _gemini(events: list[dict[str, Any]]) -> Counts | None:
    """Gemini's: thoughts and tokens of tool use lie outside; counts are cumulative."""
    usage: dict[str, Any] = {}
    for event in events:
        if (event.get("usageMetadata") or {}).get("promptTokenCount"):
            usage = event["usageMetadata"]
    if not usage:
        return None
    thoughts = usage.get("thoughtsTokenCount", 0)
    return Counts(
        usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0),
        usage.get("candidatesTokenCount", 0) + thoughts,
        usage.get("cachedContentTokenCount", 0),
        0,
        thoughts,
    )


def _vertex_embeddings(events: list[dict[str, Any]]) -> Counts:
    (body,) = events
    if "usageMetadata" in body:
        return Counts(body["usageMetadata"]["promptTokenCount"], 0)
    statistics = [each["embeddings"]["statistics"] for each in body["predictions"]]
    return Counts(sum(int(each["token_count"]) for each in statistics), 0)
