"""When a provider wants to be asked again."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.retry_after import RETRY_AFTER_S_MAX, retry_after_s

GOOGLE = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"}
NESTED = {"error": {"metadata": {"headers": {"Retry-After": 12}}}}
TOLD: list[tuple[dict[bytes, bytes], Any, int | None]] = [
    ({}, None, None),
    ({b"retry-after": b"7"}, None, 7),
    ({b"Retry-After": b" 7 "}, None, 7),
    ({b"retry-after": b"0"}, None, 0),
    ({b"retry-after": b"0.2"}, None, 1),
    ({b"retry-after": b"2.0"}, None, 2),
    ({b"retry-after": b"soon"}, None, None),
    ({b"retry-after": b"-5"}, None, None),
    ({b"retry-after": b"999999999"}, None, RETRY_AFTER_S_MAX),
    ({b"retry-after": b"9" * 16}, None, None),
    ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}, None, 0),
    ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 +" + b"9" * 30}, None, None),
    ({b"retry-after-ms": b"1500"}, None, 2),
    ({b"retry-after-ms": b"1"}, None, 1),
    ({b"retry-after": b"3", b"retry-after-ms": b"9000"}, None, 3),
    ({b"x-ratelimit-reset": b"60"}, None, None),
    ({b"x-ratelimit-reset": b"1400000000"}, None, 0),
    ({b"x-ratelimit-reset": b"1400000000000"}, None, 0),
    ({}, NESTED, 12),
    ({b"retry-after": b"3"}, NESTED, 3),
    ({}, {"error": {"details": [{"reason": "x"}, GOOGLE]}}, 38),
    ({}, [{"error": {"details": [GOOGLE]}}], 38),
    ({}, {"error": {"details": [{"retryDelay": "soon"}]}}, None),
    ({}, {"error": {"details": 7}}, None),
    ({}, {"error": {"metadata": "odd"}}, None),
]


@pytest.mark.parametrize(("headers", "body", "wait_s"), TOLD)
def test_each_way_of_saying_it(headers: dict[bytes, bytes], body: Any, wait_s: int | None) -> None:
    """429 stays 429 with the provider's own wait, in whole seconds (rule: contract)."""
    assert retry_after_s(headers, body) == wait_s


def test_instants_become_a_wait_from_now() -> None:
    """A date, epoch seconds and epoch milliseconds say the same (rule: contract)."""
    until = time.time() + 90
    ways = (
        {b"retry-after": formatdate(until, usegmt=True).encode()},
        {b"x-ratelimit-reset": b"%d" % until},
        {b"X-RateLimit-Reset": b"%d" % (until * 1_000)},
    )
    for headers in ways:
        wait_s = retry_after_s(headers, None)
        assert wait_s is not None and 85 <= wait_s <= 91


@given(
    name=st.sampled_from((b"retry-after", b"retry-after-ms", b"x-ratelimit-reset")),
    value=st.binary(max_size=40) | st.integers().map(lambda number: b"%d" % number),
)
def test_a_wait_is_bounded_whatever_the_header_says(name: bytes, value: bytes) -> None:
    """No header makes a caller wait for ever, or breaks the reply (rule: bounded)."""
    wait_s = retry_after_s({name: value}, None)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_S_MAX
