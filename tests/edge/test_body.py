"""Bodies of requests: what is refused before anybody looks at a member."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.body import (
    NAME_CHARACTERS_MAX,
    check_model,
    check_range,
    decode_body,
    decode_members,
    replaced_member,
    utf8_size,
)
from edge.errors import ApiError


class Inner(msgspec.Struct):
    """A part."""

    number: int


class Body(msgspec.Struct):
    """A body."""

    text: str = ""
    parts: list[Inner] = []


decode = msgspec.json.Decoder(Body).decode
BAD: list[tuple[bytes, str, str | None]] = [
    (b"", "invalid_json", None),
    (b"{", "invalid_json", None),
    (b"{} {}", "invalid_json", None),
    (b'{"text":"\xff"}', "invalid_json", None),
    (b'{"text":"\xed\xa0\x80"}', "invalid_json", None),
    (b'{"other":' + b"[" * 100_000, "invalid_json", None),
    (b'{"other":' + b"[" * 5_000 + rb'"\u0041"' + b"]" * 5_000 + b"}", "invalid_json", None),
    (b'{"other":' + b"[" * 5_000 + rb'"\u0000"' + b"]" * 5_000 + b"}", "invalid_text", None),
    (b'{"text":"\x00"}', "invalid_text", None),
    (b"[]", "invalid_type", None),
    (b'"text"', "invalid_type", None),
    (b'{"text":7}', "invalid_type", "text"),
    (b'{"parts":[{"number":1},{"number":"x"}]}', "invalid_type", "parts[1].number"),
    (b'{"parts":[{}]}', "missing_required_parameter", "parts[0].number"),
    (rb'{"text":"a\u0000b"}', "invalid_text", None),
    (rb'{"other":{"\u0000":1}}', "invalid_text", None),
    (rb'{"other":["\ud800"]}', "invalid_text", None),
    (rb'{"text":"\udc00\ud800"}', "invalid_text", None),
    (rb'{"text":"\ud83d\ude00\uDE00"}', "invalid_text", None),
    (rb'{"text":"\ud83d\uD83D\ude00"}', "invalid_text", None),
    (rb'{"text":"\ud83d\\\ude00"}', "invalid_text", None),
    (rb'{"text":"\\ud83d\ude00"}', "invalid_text", None),
    (rb'{"text":"\\\ud83d\u0041"}', "invalid_text", None),
]


@pytest.mark.parametrize(("raw", "code", "param"), BAD)
def test_a_bad_body_is_named(raw: bytes, code: str, param: str | None) -> None:
    """What is wrong, and where; NUL and lone surrogates are no text (P10)."""
    with pytest.raises(ApiError) as refusal:
        decode_body(decode, raw)
    told = refusal.value
    assert (told.status, told.code, told.param) == (400, code, param)
    assert param is None or param in told.message


GOOD: list[tuple[bytes, str]] = [
    (b"{}", ""),
    (b' {"text":"a"} ', "a"),
    (rb'{"text":"\ud83d\ude00"}', "\U0001f600"),
    ('{"text":"\U0001f600 世界"}'.encode(), "\U0001f600 世界"),
    (rb'{"text":"a\\u0000b"}', r"a\u0000b"),
    (rb'{"text":"\u00e9"}', "é"),
    (rb'{"text":"\\ud83d \\\ud83d\uDE00\ud83d\ude00"}', "\\ud83d \\\U0001f600\U0001f600"),
]


@pytest.mark.parametrize(("raw", "text"), GOOD)
def test_a_good_body_is_decoded(raw: bytes, text: str) -> None:
    """Pairs of surrogates are text, and an escaped backslash is no escape (rule: wire)."""
    assert decode_body(decode, raw).text == text


@given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode()))
def test_no_bytes_break_the_reading(raw: bytes) -> None:
    """A body is a structure, or a refusal with a name (P10)."""
    try:
        answer: Body | bytes = decode_body(decode, raw)
    except ApiError as refusal:
        answer = refusal.openai()
    assert isinstance(answer, Body) or b'"type":"invalid_request_error"' in answer


@given(st.text())
def test_every_text_passes_unless_it_holds_nul_or_half_a_pair(text: str) -> None:
    """Escaped or not, it comes out as it went in (rule: wire)."""
    raw = json.dumps({"text": text}).encode()
    if "\x00" in text:
        with pytest.raises(ApiError):
            decode_body(decode, raw)
    else:
        assert decode_body(decode, raw).text == text


@given(
    st.lists(
        st.sampled_from(
            [
                r"\ud83d",
                r"\uDE00",
                r"\udbff",
                r"\uDc00",
                r"\\",
                r"\"",
                "u",
                "d83d",
                r"\u0041",
                "\x7f",
            ]
        ),
        max_size=8,
    )
)
def test_half_pairs_are_found_as_decoding_would_find_them(parts: list[str]) -> None:
    """Without decoding (rule: wire)."""
    raw = b'{"other":"%b"}' % "".join(parts).encode()
    try:
        json.loads(raw)["other"].encode()
    except UnicodeEncodeError:
        with pytest.raises(ApiError):
            decode_body(decode, raw)
    else:
        decode_body(decode, raw)


def test_a_large_body_is_not_decoded_twice() -> None:
    """A pair of surrogates in it costs a search, less than the decoding of its parts
    (rule: calls first).
    """
    plain = b'{"other":[' + b'{"a":1},' * 100_000 + b'{"a":"%b"}]}'

    def took(raw: bytes) -> float:
        began = time.thread_time()
        msgspec.json.decode(raw) if raw is whole else decode_body(decode, raw)
        return time.thread_time() - began

    whole, body = plain % b"x", plain % rb"\ud83d\ude00"
    assert min(took(body) for _ in range(5)) < min(took(whole) for _ in range(5))


@given(st.text())
def test_the_size_of_a_text_is_its_bytes(text: str) -> None:
    """Bounds are made of it (money rule 2)."""
    assert utf8_size(text) == len(text.encode())


@pytest.mark.parametrize(("value", "fits"), [(None, True), (1, True), (5, True), (0, False)])
@pytest.mark.parametrize("most", [5])
def test_a_count_lies_between_one_and_its_maximum(value: int | None, fits: bool, most: int) -> None:
    """The refusal names the member and the maximum (P10)."""
    for number, ok in ((value, fits), (most + 1, False), (-1, False)):
        if ok:
            check_range("n", number, most)
            continue
        with pytest.raises(ApiError, match=f"between 1 and {most}") as refusal:
            check_range("n", number, most)
        assert (refusal.value.status, refusal.value.param) == (400, "n")


def test_a_model_is_named() -> None:
    """Never a default of ours (P10)."""
    check_model("m")
    with pytest.raises(ApiError) as refusal:
        check_model("")
    assert (refusal.value.status, refusal.value.code) == (400, "missing_model")


def test_a_name_is_short() -> None:
    """What callers write is looked up, kept and repeated (rule: bounded)."""
    check_model("m" * NAME_CHARACTERS_MAX)
    with pytest.raises(ApiError, match=str(NAME_CHARACTERS_MAX)) as refusal:
        check_model("m" * (NAME_CHARACTERS_MAX + 1))
    assert (refusal.value.status, refusal.value.param) == (400, "model")
    assert len(str(refusal.value)) < NAME_CHARACTERS_MAX


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.lists(st.booleans()),
        max_size=5,
    )
)
def test_raw_members_are_written_back_as_they_were(members: dict[str, Any]) -> None:
    """What a caller sent reaches the provider byte for byte (rule: translation)."""
    raw = msgspec.json.encode(members)
    assert msgspec.json.encode(decode_members(raw)) == raw


REPLACED = [
    (b'{"model":"a","x":1}', b'{"model":"b","x":1}'),
    (
        b' {\n "x" : {"model":"a"} ,\t"model" :"a"\n}\n ',
        b' {\n "x" : {"model":"a"} ,\t"model" :"b"\n}\n ',
    ),
    (b'{"x":"\\"model\\":\\"a\\"","model":"a"}', b'{"x":"\\"model\\":\\"a\\"","model":"b"}'),
    (b'{"\\u006dodel":"a"}', b'{"\\u006dodel":"b"}'),
    (b'{"model":"a","model":"c"}', b'{"model":"b"}'),
    (b'{"model":"c","x":[1, 2],"model":"a"}', b'{"model":"b","x":[1, 2]}'),
    (b'{"x":"\xc3\xa9","model":"\\u00e9"}', b'{"x":"\xc3\xa9","model":"b"}'),
]


@pytest.mark.parametrize(("raw", "made"), REPLACED)
def test_a_member_is_replaced_and_no_other_byte(raw: bytes, made: bytes) -> None:
    """Unless one stands twice: then the last counts, and each is written once (rule: wire)."""
    assert replaced_member(raw, decode_members(raw), "model", "b") == made


TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), TEXTS, st.sampled_from([None, 1, "\t"]))
def test_whatever_a_body_holds_one_member_changes(
    members: dict[str, object], model: str, indent: int | str | None
) -> None:
    """Decoded it differs in that member alone; but for it the bytes are the same (rule: wire)."""
    body = {**members, "model": "a"}
    raw = json.dumps(body, indent=indent).encode()
    made = replaced_member(raw, decode_members(raw), "model", model)
    assert json.loads(made) == {**body, "model": model}
    assert len(made) == len(raw) - 3 + len(msgspec.json.encode(model))
