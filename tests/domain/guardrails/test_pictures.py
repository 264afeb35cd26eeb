"""Pictures of prompts in the forms of the APIs."""

from __future__ import annotations

from typing import Any

import pytest

from domain.guardrails.pictures import pictures_of
from domain.guardrails.walking import TooDeepError


@pytest.mark.parametrize(
    ("part", "address"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/a"}}, "https://x/a"),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AA"},
            "data:image/png;base64,AA",
        ),
        ({"type": "input_image", "file_id": "file-1"}, None),
        ({"type": "image_url", "image_url": {"url": 7}}, None),
        ({"type": "image", "source": {"type": "url", "url": "https://x/b"}}, "https://x/b"),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
            },
            "data:image/png;base64,AA",
        ),
        ({"type": "image", "source": {"type": "base64", "data": "AA"}}, None),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, None),
        ({"type": "image", "source": "x"}, None),
    ],
)
def test_each_has_its_address(part: Any, address: str | None) -> None:
    """Wherever it stands; one that only its provider can find has none (rule: wire)."""
    body = {"messages": [{"content": [{"type": "text", "text": "Hi"}, {"content": [part]}]}]}
    assert list(pictures_of(body)) == [address]
    assert list(pictures_of({"image_url": "x", "type": "text"})) == []


def test_levels_have_an_end() -> None:
    """Of a body as of any walk (rule: bounded)."""
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(TooDeepError):
        list(pictures_of(deep))
