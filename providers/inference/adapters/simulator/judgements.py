"""The simulator's judgements: verdicts and scores that depend on nothing but the request."""

from __future__ import annotations

from typing import Any

CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening"),
    *("illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent"),
    *("sexual", "sexual/minors", "violence", "violence/graphic"),
)
"""OpenAI's."""
FOUND, NOT_FOUND = 0.99, 0.01


def verdicts(given: Any) -> list[dict[str, Any]]:
    """One for each text, or one for all parts: flagged for each category that they name."""
    inputs = given if isinstance(given, list) else [given]
    if any(isinstance(each, dict) for each in inputs):
        inputs = [" ".join(str(each.get("text", "")) for each in inputs)]
    return [_verdict(str(each)) for each in inputs]


def _verdict(text: str) -> dict[str, Any]:
    words = text.lower()
    found = {name: name in words for name in CATEGORIES}
    kinds = {name: ["text"] for name in CATEGORIES}
    scores = {name: FOUND if named else NOT_FOUND for name, named in found.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": scores,
        "category_applied_input_types": kinds,
    }


def ranking(query: str, documents: list[str], most: int | None) -> list[dict[str, Any]]:
    """Documents by the share of the query's words that they hold, the best first."""
    wanted = set(query.lower().split())
    scores = (len(wanted & set(each.lower().split())) / (len(wanted) or 1) for each in documents)
    found = [
        {"index": index, "relevance_score": round(score, 4)} for index, score in enumerate(scores)
    ]
    return sorted(found, key=lambda each: -each["relevance_score"])[:most]
