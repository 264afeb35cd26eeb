"""Files: stored as they come, got back byte-true, seen by their account alone."""

from __future__ import annotations

import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from command_api.files.store import CHUNK_BYTES
from tests.command_api.batches.making import Customer
from tests.conftest import fresh_database
from tests.support.harness import ScriptedUpstream, completion, eventually, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

MOST = 3 * CHUNK_BYTES


def plays(connection: socket.socket, request: Request) -> None:
    """A provider that nobody asks here."""
    del request
    reply(connection, completion())


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with small maxima of files."""
    upstream = ScriptedUpstream(plays)
    more = {
        "file_bytes_max": MOST,
        "files_per_account_max": 4,
        "files_bytes_per_account_max": 2 * MOST,
        "upload_timeout_s": 2,
        "uploads_bytes_max": MOST + CHUNK_BYTES,
    }
    home = tmp_path_factory.mktemp("home")
    with fresh_database(server) as own, running_gateway(own, home, upstream, **more) as made:
        yield made
    upstream.close()


@pytest.fixture
def customer(served: RunningGateway) -> Customer:
    """A new customer."""
    return Customer(served, served.user())


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, MOST])
def test_the_official_client_gets_back_what_it_stored(customer: Customer, size: int) -> None:
    """Byte by byte, of any size and content, whole and as a stream (rule: contract)."""
    content = os.urandom(size)
    made = customer.upload(content, "résumé.jsonl")
    assert (made.object, made.bytes, made.purpose, made.status) == (
        "file",
        size,
        "batch",
        "processed",
    )
    assert made.filename == "résumé.jsonl"
    assert made.expires_at - made.created_at == 2_592_000
    assert customer.api.files.retrieve(made.id) == made
    assert customer.api.files.content(made.id).read() == content
    with customer.api.files.with_streaming_response.content(made.id) as stream:
        assert b"".join(stream.iter_bytes(100_000)) == content
        assert stream.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert [each.id for each in customer.api.files.list()] == [made.id]
    gone = customer.api.files.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    for ask in (customer.api.files.retrieve, customer.api.files.content, customer.api.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(made.id)
    with customer.served.database.connect() as connection:
        query = "SELECT count(*) FROM stored_file_chunk c JOIN stored_file f USING (file_id) "
        query += "WHERE f.account_id = %s"
        assert connection.execute(query, [customer.user.account_id]).fetchone() == (0,)


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        (f"bytes={CHUNK_BYTES - 1}-{CHUNK_BYTES}", CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (f"bytes={CHUNK_BYTES}-", CHUNK_BYTES, CHUNK_BYTES + 10),
        ("bytes=-5", CHUNK_BYTES + 5, CHUNK_BYTES + 10),
        ("bytes=5-999999999", 5, CHUNK_BYTES + 10),
        ("bytes=9-5", 0, None),
        ("bytes=0-1,3-4", 0, None),
        ("lines=1", 0, None),
    ],
)
def test_a_range_is_a_part(customer: Customer, asked: str, begin: int, end: int | None) -> None:
    """As RFC 9110 has it; what is none of it is answered whole (rule: contract)."""
    content = os.urandom(CHUNK_BYTES + 10)
    made = customer.upload(content)
    with customer.served.client(customer.user, Range=asked) as client:
        got = client.get(f"/v1/files/{made.id}/content")
    assert got.status_code == (200 if end is None else 206)
    assert got.content == content[begin:end]


def test_a_range_behind_the_end_is_refused(customer: Customer) -> None:
    """With the size that there is (rule: refuse clearly)."""
    made = customer.upload(b"abc")
    for asked in ("bytes=3-", "bytes=-0"):
        with customer.served.client(customer.user, Range=asked) as client:
            got = client.get(f"/v1/files/{made.id}/content")
        assert (got.status_code, got.headers["content-range"]) == (416, "bytes */3")


def test_lists_go_on_behind_the_last(customer: Customer) -> None:
    """In either order, of a purpose, none twice (rule: contract)."""
    ids = [customer.upload(b"x", f"{number}").id for number in range(3)]
    assert [each.id for each in customer.api.files.list(limit=2)] == ids[::-1]
    assert [each.id for each in customer.api.files.list(limit=2, order="asc")] == ids
    page = customer.api.files.list(limit=2)
    assert (page.has_more, [each.id for each in page.data]) == (True, ids[:0:-1])
    assert list(customer.api.files.list(purpose="other")) == []


def test_a_list_goes_on_behind_what_was_deleted(customer: Customer) -> None:
    """Whoever deletes each page as he reads it deletes them all (rule: contract)."""
    made = {customer.upload(b"x").id for _ in range(4)}
    told = []
    for each in customer.api.files.list(limit=2):
        told.append(each.id)
        customer.api.files.delete(each.id)
    assert (len(told), set(told)) == (4, made)


def test_maxima_are_named_and_leave_nothing(customer: Customer) -> None:
    """A file too large, too many files, too many bytes: refused, and nothing stays
    (rule: bounded).
    """
    with pytest.raises(openai.APIStatusError, match="holds more than") as refused:
        customer.upload(b"x" * (MOST + 1))
    assert refused.value.status_code == 413
    assert list(customer.api.files.list()) == []
    whole = customer.upload(b"x" * MOST)
    customer.upload(b"x" * MOST)
    with pytest.raises(openai.RateLimitError, match="more than"):
        customer.upload(b"x")
    customer.api.files.delete(whole.id)
    for _ in range(3):
        customer.upload(b"x")
    with pytest.raises(openai.RateLimitError, match="4 files"):
        customer.upload(b"x")


def test_a_file_expires(customer: Customer) -> None:
    """When its owner said so: then nobody finds it, and it is purged (rule: bounded)."""
    made = customer.upload(b"x", expires_after={"anchor": "created_at", "seconds": 3_600})
    assert made.expires_at - made.created_at == 3_600
    with customer.served.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE stored_file SET expires_at = clock_timestamp() WHERE account_id = %s",
            [customer.user.account_id],
        )
    with pytest.raises(openai.NotFoundError):
        customer.api.files.retrieve(made.id)


def form(*parts: tuple[str, str, bytes]) -> bytes:
    """A body with the boundary `b`."""
    made = b""
    for name, more, data in parts:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        made += head.encode() + data + b"\r\n"
    return made + b"--b--\r\n"


FILE = ("file", '; filename="f"', b"x")
PURPOSE = ("purpose", "", b"batch")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(FILE), "invalid_value"),
        (form(PURPOSE), "invalid_form"),
        (form(("file", '; filename="f"', b""), PURPOSE), "invalid_form"),
        (form(FILE, FILE, PURPOSE), "invalid_form"),
        (form(FILE, PURPOSE, PURPOSE), "invalid_form"),
        (form(("file", "", b"x"), PURPOSE), "invalid_form"),
        (form(FILE, PURPOSE, ("notes", "", b"x" * 70_000)), "invalid_form"),
        (form(FILE, ("purpose", "", b"fine-tune")), "invalid_value"),
        (form(FILE, ("purpose", "", b"x" * 1_025)), "invalid_value"),
        (form(FILE, PURPOSE, ("expires_after[seconds]", "", b"-1")), "invalid_value"),
        (form(FILE, PURPOSE, ("expires_after[seconds]", "", b"9" * 400)), "invalid_value"),
        (form(FILE, PURPOSE)[:-10], "invalid_form"),
        (b"", "invalid_form"),
        (b"--b\r\nno: name\r\n\r\nx\r\n--b--", "invalid_form"),
        (b"--b\r\n" + b"a" * 20_000, "invalid_form"),
        (b"x" * 100_000, "invalid_form"),
        (form(*[("a", "", b"")] * 100), "invalid_form"),
        (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n', "invalid_form"),
    ],
)
def test_bodies_that_are_none_leave_nothing(customer: Customer, body: bytes, code: str) -> None:
    """Each is a 400 that says why (rule: refuse clearly)."""
    kind = {"content-type": "multipart/form-data; boundary=b"}
    with customer.served.client(customer.user, **kind) as client:
        got = client.post("/v1/files", content=body)
    assert (got.status_code, got.json()["error"]["code"]) == (400, code)
    assert list(customer.api.files.list()) == []


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "x; boundary=é"])
def test_another_type_is_refused(customer: Customer, kind: str) -> None:
    """Before any of the body is read (rule: refuse clearly)."""
    with customer.served.client(customer.user) as client:
        headers = {b"content-type": kind.encode()}
        got: httpx.Response = client.post("/v1/files", content=form(FILE), headers=headers)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_form")


def test_fields_may_come_before_or_behind(customer: Customer) -> None:
    """And every byte alone, as networks may cut (rule: translation)."""
    kind = {"content-type": "multipart/form-data; boundary=b"}
    tricky: Any = b"\r\n--\r\n--a\r\n\r\n--b--"[:-5]
    for parts in ((FILE, PURPOSE), (PURPOSE, ("file", '; filename="f"', tricky))):
        body = form(*parts)
        with customer.served.client(customer.user, **kind) as client:
            got = client.post("/v1/files", content=(bytes([each]) for each in body))
        assert got.status_code == 200, got.text
        wanted = {name: data for name, _, data in parts}["file"]
        assert customer.api.files.content(got.json()["id"]).read() == wanted


def stored(customer: Customer) -> tuple[int, int]:
    """Files and chunks that stand in the database of an account."""
    with customer.served.database.connect() as connection:
        query = (
            "SELECT count(DISTINCT f.file_id), count(c.file_id) FROM stored_file f "
            "LEFT JOIN stored_file_chunk c USING (file_id) WHERE f.account_id = %s"
        )
        found = connection.execute(query, [customer.user.account_id]).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])


def test_an_upload_that_stalls_or_breaks_off_leaves_nothing(customer: Customer) -> None:
    """It is refused in time, nothing is stored of it, and its room on the disk is given back: the
    disk has room for one file of the largest size (rule: bounded).
    """
    body = form(("file", '; filename="f"', b"x" * MOST), PURPOSE)
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: Bearer {customer.user.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    port = int(customer.served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stalled:
        stalled.sendall(head.encode() + body[:-60])
        assert stalled.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as broken:
        broken.sendall(head.encode() + body[:-60])

    def uploads() -> bool:
        try:
            customer.upload(b"x" * MOST)
        except openai.InternalServerError as error:
            assert error.code == "too_many_bodies"  # noqa: PT017 - it may be a moment too early.
            return False
        return True

    eventually(uploads)
    assert stored(customer) == (1, 3)


def test_what_does_not_fit_leaves_no_chunk(customer: Customer) -> None:
    """A file that passes the account's bytes half way is none, and its chunks are dropped
    (rule: bounded).
    """
    customer.upload(b"x" * MOST)
    customer.upload(b"x" * CHUNK_BYTES)
    with pytest.raises(openai.RateLimitError, match="more than") as refused:
        customer.upload(b"x" * MOST)
    assert refused.value.code == "too_many_file_bytes"
    assert stored(customer) == (2, 4)


def test_a_disk_without_room_is_told(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Where no file can wait, an upload is refused for the moment, and nothing else is
    (rule: refuse clearly).
    """
    gone = tmp_path / "gone"
    with running_gateway(database, tmp_path / "home", upstream, upload_dir=gone) as made:
        customer = Customer(made, made.user())
        with pytest.raises(openai.InternalServerError) as refused:
            customer.upload(b"x")
        assert (refused.value.status_code, refused.value.code) == (503, "too_many_bodies")
        assert refused.value.response.headers["retry-after"]
        assert list(customer.api.files.list()) == []


def test_two_uploads_at_once_keep_to_the_maximum_of_each(customer: Customer) -> None:
    """Many at the same time, of one account: each is whole or refused, and what stands is what the
    list says (rule: bounded).
    """

    def upload(number: int) -> str | None:
        try:
            made: str = customer.upload(b"%d" % number * 9, f"{number}").id
        except openai.RateLimitError:
            return None
        return made

    with ThreadPoolExecutor(8) as pool:
        made = [each for each in pool.map(upload, range(8)) if each]
    assert {each.id for each in customer.api.files.list()} == set(made)
    assert stored(customer) == (len(made), len(made))
    assert len(made) >= 4
    assert upload(9) is None


def test_what_an_owner_left_cannot_be_read(customer: Customer) -> None:
    """With the data key goes every file: it is found no more, and nothing new is stored (P5)."""
    made = customer.upload(b"secret")
    with customer.served.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE user_secret SET wrapped_key = NULL WHERE user_id = %s",
            [customer.user.user_id],
        )
    for ask in (customer.api.files.retrieve, customer.api.files.content):
        with pytest.raises(openai.NotFoundError):
            ask(made.id)
    assert list(customer.api.files.list()) == []
    with pytest.raises(openai.BadRequestError) as refused:
        customer.upload(b"more")
    assert refused.value.code == "file_not_stored"
