"""The few lines of ASGI below any framework."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.asgi import (
    APP_CHARACTERS_MAX,
    NO_STORE,
    REQUEST_ID_MAX,
    WHOLE_BODY,
    ClientGoneError,
    Headers,
    ReplyHeaders,
    app_of,
    header_of,
    read_body,
    request_id_of,
    send_error,
)
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

IDS = [
    (b"req-1", "req-1"),
    (b"a b", "a b"),
    (b"x" * REQUEST_ID_MAX, "x" * REQUEST_ID_MAX),
    (b"x" * (REQUEST_ID_MAX + 1), "ours"),
    (b"", "ours"),
    (b"a\tb", "ours"),
    (b"a\x7f", "ours"),
    (b"\xc3\xa9", "ours"),
]


@pytest.mark.parametrize(("given", "told"), IDS)
def test_a_callers_request_id_is_kept_if_it_can_stand_in_a_header(given: bytes, told: str) -> None:
    """Short printable ASCII, else our own (rule: observable)."""
    assert request_id_of(given, "ours") == told


@given(st.binary(max_size=2 * REQUEST_ID_MAX))
def test_no_request_id_breaks_a_header(given: bytes) -> None:
    """Whatever a caller sends, the reply's header is one line (rule: observable)."""
    told = request_id_of(given, "ours")
    assert told.isascii() and told.isprintable() and 0 < len(told) <= REQUEST_ID_MAX


APPS = [
    (b"", b"", ""),
    (b"https://app.example/page?user=7#top", b"", "https://app.example"),
    (b"https://app.example:8443/x", b"", "https://app.example:8443"),
    (b"http://localhost:3000", b"", "http://localhost:3000"),
    (b"https://user:secret@app.example/", b"", "https://app.example"),
    (b"https://app.example", b"My App", "https://app.example"),
    (b"", b"My App", "My App"),
    (b"", b"  My App  ", "My App"),
    (b"", "Größe".encode(), "Größe"),
    (b"", b"\xff", "\ufffd"),
    (b"", b"a\nb", ""),
    (b"", b"x" * 500, "x" * APP_CHARACTERS_MAX),
    (b"https://" + b"x" * 500, b"", "https://" + "x" * (APP_CHARACTERS_MAX - 8)),
    (b"ftp://app.example", b"My App", "My App"),
    (b"app.example/page", b"My App", "My App"),
    (b"http://[broken", b"My App", "My App"),
    (b"http:///path", b"My App", "My App"),
    (b"\xff", b"My App", "My App"),
]


@pytest.mark.parametrize(("referer", "title", "app"), APPS)
def test_an_app_is_its_origin_or_else_its_title(referer: bytes, title: bytes, app: str) -> None:
    """Never a path, a query or a password: those may tell of a person (P5)."""
    assert app_of(referer, title) == app


@given(
    host=st.from_regex(r"[a-z]{1,9}\.example", fullmatch=True),
    secret=st.from_regex(r"[A-Z]{6}", fullmatch=True),
    where=st.sampled_from(("{s}@{h}", "u:{s}@{h}", "{h}/{s}", "{h}?{s}", "{h}#{s}", "{h}/a/{s}?b")),
)
def test_nothing_but_the_origin_of_an_app_is_kept(host: str, secret: str, where: str) -> None:
    """What stands around it is dropped (P5)."""
    referer = "https://" + where.format(s=secret, h=host)
    app = app_of(referer.encode(), b"")
    assert secret not in app
    assert urlsplit(app).hostname == host


def messages(*bodies: bytes, end: bool = True) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A body that comes in these pieces, and then a hang-up, or with its last piece the end."""
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": each, "more_body": not end or place < len(bodies) - 1}
        for place, each in enumerate(bodies)
    ]
    parts.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    return receive


def read(receive: Any, *, declared: bytes = b"", scope: Any = None, timeout_s: float = 5) -> bytes:
    """The body, of at most 10 bytes."""
    return asyncio.run(read_body(scope or {}, declared, receive, bytes_max=10, timeout_s=timeout_s))


@pytest.mark.parametrize(
    "bodies", [(b"",), (b"0123456789",), (b"01234", b"56789"), (b"", b"0", b"")]
)
def test_a_body_within_the_limit_is_read_whole(bodies: tuple[bytes, ...]) -> None:
    """However it comes (rule: bounded)."""
    assert read(messages(*bodies)) == b"".join(bodies)
    assert read(messages(), scope={WHOLE_BODY: b"".join(bodies)}) == b"".join(bodies)


TOO_LARGE: list[dict[str, Any]] = [
    {"declared": b"11", "receive": messages()},
    {"declared": b"11", "receive": messages(), "scope": {WHOLE_BODY: b"short"}},
    {"receive": messages(b"01234567890")},
    {"receive": messages(b"0123456789", b"0", b"never read")},
    {"receive": messages(), "scope": {WHOLE_BODY: b"01234567890"}},
    {"declared": b"1", "receive": messages(b"01234567890")},
    {"declared": b"odd", "receive": messages(b"01234567890")},
]


@pytest.mark.parametrize("how", TOO_LARGE)
def test_a_body_above_the_limit_is_refused(how: dict[str, Any]) -> None:
    """Before it is read where its length is declared; a lie does not help (rule: bounded)."""
    with pytest.raises(ApiError) as refusal:
        read(**how)
    assert (refusal.value.status, refusal.value.code) == (413, "request_too_large")
    assert "10 bytes" in refusal.value.message


def test_a_body_that_never_ends_is_given_up() -> None:
    """Its connection is closed with the answer (rule: bounded)."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(ApiError) as refusal:
        read(receive, timeout_s=0.05)
    assert (refusal.value.status, refusal.value.code) == (408, "request_timeout")
    assert refusal.value.headers == {"connection": "close"}


def test_a_client_that_hangs_up_before_its_end_made_no_request() -> None:
    """So nothing is held for it (P2)."""
    with pytest.raises(ClientGoneError):
        read(messages(b"01", end=False))


def test_headers_are_found_or_empty() -> None:
    """`HTTP-Referer` is OpenRouter's and wins over the browser's own (rule: observable)."""
    given_ = [(b"authorization", b"Bearer k"), (b"referer", b"b"), (b"x-title", b"t")]
    headers = Headers({"headers": given_})
    assert (headers.authorization, headers.referer, headers.title) == (b"Bearer k", b"b", b"t")
    assert (headers.content_length, headers.idempotency_key, headers.request_id) == (b"", None, b"")
    assert Headers({"headers": [*given_, (b"http-referer", b"a")]}).referer == b"a"
    assert header_of({"headers": given_}, b"x-title") == b"t"
    assert header_of({"headers": given_}, b"absent") == b""


def test_reply_headers_tell_what_is_known_of_a_call() -> None:
    """Of an unknown caller nothing is known yet (rule: observable)."""
    headers = ReplyHeaders()
    assert headers.listed() == [NO_STORE]
    headers.call_id, headers.request_id, headers.provider = "c", "r", "p"
    headers.more.append((b"x-more", b"m"))
    assert headers.listed() == [
        NO_STORE,
        (b"x-gatewayz-call-id", b"c"),
        (b"x-request-id", b"r"),
        (b"x-gatewayz-provider", b"p"),
        (b"x-more", b"m"),
    ]


def test_an_error_is_sent_whole_with_its_headers() -> None:
    """Status, envelope, length and the wait that it asks for (P10)."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    error = ApiError(503, "away", "Try again.", headers={"retry-after": "2"})
    asyncio.run(send_error(send, error, [(b"x-request-id", b"r")]))
    start, body = sent
    headers = dict(start["headers"])
    assert (start["status"], body["body"]) == (503, error.openai())
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert (headers[b"retry-after"], headers[b"x-request-id"]) == (b"2", b"r")
    assert headers[b"content-type"] == b"application/json"
