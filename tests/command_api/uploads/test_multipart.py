"""Forms, read in whatever pieces they come."""

from __future__ import annotations

import pytest

from command_api.uploads.multipart import FormReader, Part, boundary_of
from edge.errors import ApiError

GOOD = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\\"b;.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n\r\n--not\r\n--\r\n\r\n--b--\r\n"
)


def read(body: bytes, size: int) -> tuple[list[tuple[str, str | None, str, bytes]], bool]:
    """The parts of a body that comes in pieces of this size."""
    reader, found = FormReader(b"b"), list[tuple[str, str | None, str, bytes]]()
    for at in range(0, len(body), size):
        for each in reader.feed(body[at : at + size]):
            if isinstance(each, Part):
                found.append((each.name, each.file_name, each.kind, b""))
            else:
                found[-1] = (*found[-1][:3], found[-1][3] + each)
    return found, reader.done


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
def test_a_form_is_the_same_in_any_pieces(size: int) -> None:
    """What looks like a delimiter is none, and names are what they are (rule: wire)."""
    plain = "application/octet-stream"
    assert read(GOOD, size) == (
        [
            ("model", None, plain, b"m"),
            ("file", 'a"b;.wav', "audio/wav", b"\r\n--not\r\n--\r\n"),
        ],
        True,
    )


NAMED = b'--b\r\nContent-Disposition: form-data; name="a"'


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n" + GOOD,
        b"\r\n" + GOOD,
        b"--bx" + GOOD,
        b"--b\r\n\r\n" + b"x" * 5_000,
        NAMED + b'; name="b"\r\n\r\n',
        NAMED + b"; filename\r\n\r\n",
        NAMED + b'; filename="a\nb"\r\n\r\n',
        NAMED + b'; filename="\xff"\r\n\r\n',
        NAMED + b'; filename="' + b"x" * 300 + b'"\r\n\r\n',
        NAMED + b"\r\n folded: yes\r\n\r\n",
        NAMED + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        NAMED + b"\r\nX: " + b"y" * 5_000 + b"\r\n\r\n",
        NAMED + b"\r\nX: " + b"y" * 9_000,
        b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\n",
        (NAMED + b"\r\n\r\n\r\n") * 65,
    ],
)
def test_what_no_client_sends_is_refused(body: bytes, size: int) -> None:
    """Each a 400, whatever the pieces (rule: wire)."""
    with pytest.raises(ApiError) as refused:
        read(body, size)
    assert (refused.value.status, refused.value.code) == (400, "invalid_form")


def test_no_more_than_a_delimiter_is_kept_of_a_file() -> None:
    """A file without an end passes through (rule: bounded)."""
    reader = FormReader(b"b")
    given = sum(
        len(x) for x in reader.feed(NAMED + b'; filename="f"\r\n\r\n') if isinstance(x, bytes)
    )
    for _ in range(100):
        given += sum(
            len(each) for each in reader.feed(b"\r\n--" * 1_000) if isinstance(each, bytes)
        )
    assert 400_000 - given <= 5


@pytest.mark.parametrize(
    ("given", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        (b"multipart/form-data; boundary=abc; charset=utf-8", b"abc"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
        (b"multipart/form-data; boundary=" + b"x" * 71, None),
        (b"application/json", None),
        (b"", None),
    ],
)
def test_the_boundary_stands_in_the_content_type(given: bytes, boundary: bytes | None) -> None:
    """As RFC 2046 writes it, or a 400 (rule: wire)."""
    if boundary is not None:
        assert boundary_of(given) == boundary
        return
    with pytest.raises(ApiError):
        boundary_of(given)
