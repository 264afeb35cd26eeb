"""What we say in replies: the model's full id, and the exact cost (rule: contract)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.sse import StreamScanner
from command_api.replies.told import FullName, tell, tell_cost
from domain.pricing.usage import Usage
from tests.support.harness import chunk

ESTIMATED = Usage(7, 3, source="estimated")
COUNTED = (
    b'{"model":"p/m","usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,'
    b'"cost":0.000000001}}'
)
TOLD: list[tuple[bytes, Usage, bytes]] = [
    (
        b'{"model":"m","usage":{"prompt_tokens":1,"x":1.0}}',
        Usage(1, 2),
        b'{"model":"p/m","usage":{"prompt_tokens":1,"x":1.0,"cost":0.000000001}}',
    ),
    # The provider's own cost is not the caller's.
    (b'{"usage":{"cost":7}}', Usage(1, 2), b'{"usage":{"cost":0.000000001}}'),
    # Our own count stands where there was no report, or one that could not be.
    (b'{"model":"m"}', ESTIMATED, COUNTED),
    (b'{"model":"m","usage":null}', ESTIMATED, COUNTED),
    (b'{"model":"m","usage":{"prompt_tokens":-1}}', ESTIMATED, COUNTED),
]


@pytest.mark.parametrize(("raw", "usage", "told"), TOLD)
def test_a_reply_tells_its_model_and_its_cost(raw: bytes, usage: Usage, told: bytes) -> None:
    """All else stays as it came (P4, rule: contract)."""
    assert tell(raw, "p/m", usage, 1) == told


@given(st.integers(0, 2**62))
def test_the_cost_is_exact(nano_usd: int) -> None:
    """Every nano-USD of it, as a decimal number (P4)."""
    told = json.loads(tell(b"{}", "m", Usage(1, 1), nano_usd), parse_float=str)
    whole, _, rest = told["usage"]["cost"].partition(".")
    assert int(whole) * 10**9 + int(rest.ljust(9, "0")) == nano_usd


def test_where_nothing_is_reported_nothing_is_said() -> None:
    """Images often have no report, and OpenAI's types want it whole (rule: contract)."""
    assert tell_cost(b'{"data":[]}', Usage(0, 0), 5) == b'{"data":[]}'
    told = tell_cost(b'{"usage":{"input_tokens":1}}', Usage(1, 1), 5)
    assert told == b'{"usage":{"input_tokens":1,"cost":0.000000005}}'


LINES: list[tuple[bytes, str, bytes]] = [
    (b'{"model":"m"}', "m", b'{"model":"p/m"}'),
    (b'{"model" : "m"}', "m", b'{"model" : "p/m"}'),
    (b'{"model":"a\\/b"}', "a/b", b'{"model":"p/m"}'),
    # A text that was made holds no bare quotes.
    (
        b'{"model":"m","content":"\\"model\\":\\"m\\""}',
        "m",
        b'{"model":"p/m","content":"\\"model\\":\\"m\\""}',
    ),
    (b'{"x":{"model":"other"},"model":"m"}', "m", b'{"x":{"model":"other"},"model":"p/m"}'),
    (b'{"no":"m"}', "m", b'{"no":"m"}'),
]


@pytest.mark.parametrize(("line", "told", "named"), LINES)
def test_chunks_name_the_model_in_full(line: bytes, told: str, named: bytes) -> None:
    """However the provider writes its own id (rule: contract)."""
    name = FullName("p/m")
    assert name.put(line) == line
    name.learn(line, told)
    assert name.put(line) == named
    assert name.put(line * 3) == named * 3


def test_without_a_name_nothing_is_replaced() -> None:
    """A scanner alone passes what it is given (rule: wire)."""
    name = FullName("")
    name.learn(b'{"model":"m"}', "m")
    assert name.put(b'{"model":"m"}') == b'{"model":"m"}'


def scanned(*pieces: bytes, **more: Any) -> list[dict[str, Any]]:
    """The chunks that a caller gets."""
    scanner = StreamScanner(
        keep_usage=True, full_name="p/m", charge=lambda report: (report, 12), **more
    )
    out = b"".join(scanner.feed(each) for each in pieces) + scanner.end()
    return [json.loads(line[5:]) for line in out.split(b"\n") if line.startswith(b"data:")]


def test_every_chunk_of_a_stream_is_named_and_its_reports_priced() -> None:
    """In bulk and one by one, also when the provider changes its model (rule: contract)."""
    report = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    texts = [chunk({"content": str(i)}) for i in range(50)]
    other = [each.replace(b'"model": "m"', b'"model": "m-2"') for each in texts]
    running = chunk({"content": "x"}, usage=report)
    last = chunk(None, usage=report)
    got = scanned(*texts, b"".join(texts), *other, b"".join(other), running, running * 3, last)
    assert len(got) == 205
    assert {each["model"] for each in got} == {"p/m"}
    assert [each["usage"]["cost"] for each in got if each.get("usage")] == [12e-9] * 5
