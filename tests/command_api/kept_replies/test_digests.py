"""The digest of a body."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from command_api.kept_replies.digests import SLICE_BYTES, canonical_digest, digest_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=20)
    | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.integers(0, 60))
def test_it_is_the_same_in_slices(body: dict[str, Any], slice_bytes: int) -> None:
    """However small they are (P3)."""
    for raw in (json.dumps(body).encode(), json.dumps(body, indent=1).encode()):
        assert asyncio.run(digest_of(raw, slice_bytes)) == canonical_digest(raw)


def test_a_large_body_leaves_others_their_turns() -> None:
    """A turn for each slice, and the digest of one that is not cut (P12, rule: calls first)."""
    content = [{"type": "text", "text": f"number {each}"} for each in range(20_000)]
    message = {"role": "user", "content": content}
    raw = json.dumps({"messages": [message], "model": "m"}).encode()

    async def run() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(others())
        assert await digest_of(raw) == canonical_digest(raw)
        beside.cancel()
        return turns

    assert asyncio.run(run()) >= len(raw) // (4 * SLICE_BYTES)
