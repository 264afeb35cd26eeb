"""Replies of both sides: pages, amounts, instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ApiError
from edge.replies import OFFSET_MAX, check_page, json_reply, page_of, timestamp, usd

ROWS = list(range(10))
PAGES: list[tuple[int | None, int, int | None, list[int]]] = [
    (None, 0, None, ROWS),
    (None, 7, None, [7, 8, 9]),
    (3, 0, None, [0, 1, 2]),
    (3, 8, None, [8, 9]),
    (3, 10, None, []),
    (0, 0, None, []),
    (5, 2, 5, [2, 3, 4, 5, 6]),
    (100, 0, None, ROWS),
]


@pytest.mark.parametrize(("limit", "offset", "most", "shown"), PAGES)
def test_a_page_is_a_part_of_the_rows(
    limit: int | None, offset: int, most: int | None, shown: list[int]
) -> None:
    """Without a limit it is the rest (rule: bounded)."""
    assert page_of(ROWS, limit, offset, most) == shown


NO_PAGES: list[tuple[int | None, int, int | None, str]] = [
    (-1, 0, None, "between 0 and"),
    (0, -1, None, "between 0 and"),
    (None, -1, 5, "between 0 and 5"),
    (6, 0, 5, "between 0 and 5"),
    (-1, 0, 5, "between 0 and 5"),
]


@pytest.mark.parametrize(("limit", "offset", "most", "told"), NO_PAGES)
def test_a_page_that_cannot_be_is_openais_400(
    limit: int | None, offset: int, most: int | None, told: str
) -> None:
    """The refusal says what is possible (P10)."""
    with pytest.raises(ApiError, match=told) as refusal:
        page_of(ROWS, limit, offset, most)
    assert (refusal.value.status, refusal.value.param) == (400, "limit")


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (6, 0), (-1, 0), (1, -1)])
def test_outside_v1_a_page_that_cannot_be_is_422(limit: int, offset: int) -> None:
    """As the framework answers to parameters of a wrong type (P10)."""
    with pytest.raises(ApiError, match="between 1 and 5") as refusal:
        check_page(limit, offset, most=5)
    assert (refusal.value.status, refusal.value.code) == (422, "invalid_page")


def test_pages_up_to_their_maximum_are_fine() -> None:
    """Both ends are allowed (rule: bounded)."""
    check_page(1, 0, most=5)
    check_page(5, OFFSET_MAX, most=5)
    assert page_of(ROWS, 1, OFFSET_MAX) == []
    with pytest.raises(ApiError, match=str(OFFSET_MAX)):
        check_page(5, OFFSET_MAX + 1, most=5)
    with pytest.raises(ApiError, match=str(OFFSET_MAX)):
        page_of(ROWS, 1, OFFSET_MAX + 1)


@given(rows=st.lists(st.integers(), max_size=30), size=st.integers(1, 7))
def test_pages_one_after_the_other_are_all_rows(rows: list[int], size: int) -> None:
    """Nothing twice, nothing left out (rule: bounded)."""
    pages = [page_of(rows, size, offset) for offset in range(0, len(rows) + 1, size)]
    assert [each for page in pages for each in page] == rows
    assert all(len(page) <= size for page in pages)


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_amount_is_printed_exactly(nano_usd: int) -> None:
    """A JSON number that no float has touched (P4)."""
    printed = json_reply({"cost_usd": usd(nano_usd)}).body
    number = bytes(printed).removeprefix(b'{"cost_usd":').removesuffix(b"}").decode()
    assert Decimal(number) * 10**9 == nano_usd


def test_a_reply_is_json_with_its_status_and_headers() -> None:
    """One way for both sides (rule: contract)."""
    made = json_reply({"a": [1, None]}, status=201, headers={"x-more": "m"})
    assert (made.status_code, msgspec.json.decode(made.body)) == (201, {"a": [1, None]})
    assert (made.headers["content-type"], made.headers["x-more"]) == ("application/json", "m")


def test_an_instant_is_utc() -> None:
    """ISO 8601 with its offset (rule: contract)."""
    told = datetime.fromisoformat(timestamp())
    assert told.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=5)
