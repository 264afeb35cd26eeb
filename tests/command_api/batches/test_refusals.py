"""What routes of files and batches refuse by name, and maxima that nobody overruns."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from command_api.batches.lines import ENDPOINTS
from command_api.files.store import CHUNK_BYTES
from tests.command_api.batches.making import CHAT, Customer, answers, jsonl, line
from tests.conftest import fresh_database
from tests.support.harness import ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

FILES, OPEN = 4, 3


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with small maxima that runs no batch."""
    upstream = ScriptedUpstream(answers)
    more: dict[str, Any] = {
        "files_per_account_max": FILES,
        "files_bytes_per_account_max": 3 * CHUNK_BYTES,
        "batches_per_account_max": OPEN,
        "batches_running_max": 0,
    }
    home = tmp_path_factory.mktemp("home")
    with fresh_database(server) as own, running_gateway(own, home, upstream, **more) as made:
        yield made
    upstream.close()


@pytest.fixture
def customer(served: RunningGateway) -> Customer:
    """A new customer."""
    return Customer(served, served.user())


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "10001"),
        ("limit", "x"),
        ("limit", "1.5"),
        ("limit", "٣"),
        ("limit", "9" * 200),
        ("after", "x"),
        ("after", ""),
        ("order", "up"),
    ],
)
def test_lists_refuse_by_name(customer: Customer, path: str, name: str, value: str) -> None:
    """With a 400 that names the parameter, in OpenAI's envelope (rule: refuse clearly)."""
    with customer.served.client(customer.user) as client:
        got = client.get(path, params={name: value})
    assert (got.status_code, got.json()["error"]["param"]) == (400, name)
    assert got.json()["error"]["type"] == "invalid_request_error"


def test_behind_a_batch_of_nobody_there_is_no_page(customer: Customer) -> None:
    """Neither behind one that never was nor behind another account's (P5)."""
    other = Customer(customer.served, customer.served.user())
    theirs = other.begin(line("a")).id
    for after in (f"batch_{'0' * 32}", theirs):
        with customer.served.client(customer.user) as client:
            got = client.get("/v1/batches", params={"after": after})
        assert (got.status_code, got.json()["error"]["param"]) == (400, "after")


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"surprise": 1}, "surprise", "unknown_parameter"),
        ({"x" * 500: 1}, "x" * 64, "unknown_parameter"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600, "x": 1}}, None, None),
        ({"metadata": {"a": 5}}, "metadata[a]", "invalid_type"),
        ({"metadata": {"a": None}}, "metadata[a]", "invalid_type"),
        ({"metadata": {"fine": "x", "b": "x" * 513}}, "metadata[b]", "invalid_value"),
        ({"metadata": {"n" * 65: "x"}}, f"metadata[{'n' * 64}]", "invalid_value"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": []}, "metadata", "invalid_type"),
    ],
)
def test_members_of_a_batch_are_refused_by_name(
    customer: Customer, more: dict[str, Any], param: str | None, code: str | None
) -> None:
    """One that nobody knows as well as one that is wrong (rule: refuse clearly)."""
    file = customer.upload(jsonl(line("a")))
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **more}
    with customer.served.client(customer.user) as client:
        got = client.post("/v1/batches", json=body)
    error = got.json()["error"]
    assert got.status_code == 400
    if param is not None:
        assert (error["param"], error["code"]) == (param, code)
    else:
        assert "output_expires_after" in error["param"]


def test_fields_of_a_form_are_refused_by_name(customer: Customer) -> None:
    """One that nobody knows, and any purpose but one (rule: refuse clearly)."""
    file = {"file": ("a.jsonl", b"{}")}
    with customer.served.client(customer.user) as client:
        for data, param in (
            ({"purpose": "batch", "surprise": "1"}, "surprise"),
            *(({"purpose": each}, "purpose") for each in ("assistants", "fine-tune", "vision")),
            ({"purpose": "batch_output"}, "purpose"),
            ({}, "purpose"),
        ):
            got = client.post("/v1/files", data=data, files=file)
            assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert list(customer.api.files.list()) == []


def test_what_comes_as_a_form_is_no_endpoint(customer: Customer) -> None:
    """Nor is what answers with links or bytes: refused by name (rule: refuse clearly)."""
    file = customer.upload(jsonl(line("a")))
    for endpoint in (
        "/v1/images/edits",
        "/v1/images/variations",
        "/v1/images/generations",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/v1/files",
    ):
        assert endpoint not in ENDPOINTS
        body = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
        with customer.served.client(customer.user) as client:
            got = client.post("/v1/batches", json=body)
        assert (got.status_code, got.json()["error"]["param"]) == (400, "endpoint")


def attempts(work: Any, count: int) -> list[int]:
    """The statuses of so many at one instant."""
    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(lambda _: int(work().status_code), range(count)))


def test_uploads_of_one_instant_keep_to_the_maxima(customer: Customer) -> None:
    """Of files as of bytes: whoever is too late is refused (rule: bounded)."""

    def upload(size: int) -> Any:
        with customer.served.client(customer.user) as client:
            file = {"file": ("a.jsonl", os.urandom(size))}
            return client.post("/v1/files", data={"purpose": "batch"}, files=file)

    told = attempts(lambda: upload(2 * CHUNK_BYTES), 4)
    assert told.count(200) <= 1
    held = sum(each.bytes for each in customer.api.files.list())
    assert held <= 3 * CHUNK_BYTES
    for each in customer.api.files.list():
        customer.api.files.delete(each.id)
    assert attempts(lambda: upload(10), 2 * FILES) == [200] * FILES + [429] * FILES
    assert len(list(customer.api.files.list())) == FILES


def test_batches_of_one_instant_keep_to_the_maximum(customer: Customer) -> None:
    """As many are made as may be open, however many are asked for at once (rule: bounded)."""
    file = customer.upload(jsonl(line("a")))
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}

    def make() -> Any:
        with customer.served.client(customer.user) as client:
            return client.post("/v1/batches", json=body)

    assert attempts(make, 8) == [200] * OPEN + [429] * (8 - OPEN)
    assert len(list(customer.api.batches.list())) == OPEN
    customer.served.verified()
