"""What an upstream says in an error, in all the shapes seen on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.error_objects import details_of, error_of, message_of, status_of
from command_api.replies.failures import failure_of_error, failure_of_status

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("error", "message", "msg", "detail", "details", "code", "status"))
            | st.sampled_from(("type", "metadata", "headers", "reason", "retryDelay")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

ERROR = {"message": "No.", "code": 429}
OBJECTS: list[tuple[Any, dict[str, Any]]] = [
    ({"error": ERROR}, ERROR),
    (ERROR, ERROR),
    ([{"error": ERROR}], ERROR),
    ([ERROR, {"message": "Second."}], ERROR),
    ({"error": "No."}, {}),
    ({"error": None}, {}),
    ([], {}),
    ("No.", {}),
    (None, {}),
]


@pytest.mark.parametrize(("body", "expected"), OBJECTS)
def test_an_error_object_is_found_bare_inside_and_in_a_list(
    body: Any, expected: dict[str, Any]
) -> None:
    """Waits and bad keys are read from the same object (rule: contract)."""
    assert error_of(body) == expected


MESSAGES: list[tuple[Any, str | None]] = [
    ("No.", "No."),
    ({"message": "No."}, "No."),
    ({"error": {"message": "No."}}, "No."),
    ({"error": "No."}, "No."),
    ([{"error": {"message": "No."}}], "No."),
    ({"detail": [{"msg": "No.", "loc": ["body"]}]}, "No."),
    ({"message": "", "detail": "No."}, "No."),
    ({"message": {"detail": "No."}}, "No."),
    ({"message": 7}, None),
    ({}, None),
    ([], None),
    (7, None),
]


@pytest.mark.parametrize(("body", "said"), MESSAGES)
def test_the_message_is_found_in_every_shape(body: Any, said: str | None) -> None:
    """Callers are told what the provider said (rule: contract)."""
    assert message_of(body) == said


STATUSES: list[tuple[Any, int | None]] = [
    ({"code": 429}, 429),
    ({"code": "429"}, 429),
    ({"code": "rate_limit_exceeded"}, 429),
    ({"code": None, "type": "overloaded_error"}, 503),
    ({"code": 7, "status": "UNAVAILABLE"}, 503),
    ([{"code": 404}], 404),
    ({"code": 200}, None),
    ({"code": 600}, None),
    ({"code": True}, None),
    ({"code": "²"}, None),
    ({"code": "4" * 5_000}, None),
    ({"code": "unheard_of"}, None),
    ("rate_limit_exceeded", None),
]


@pytest.mark.parametrize(("error", "status"), STATUSES)
def test_the_status_is_found_by_number_text_or_word(error: Any, status: int | None) -> None:
    """An error inside HTTP 200 fails as one of its own status would (rule: contract)."""
    assert status_of(error) == status


def test_details_are_objects_or_nothing() -> None:
    """Whatever stands in their place is passed over (rule: contract)."""
    assert details_of([{"error": {"details": [{"reason": "R"}, "odd", None]}}]) == [{"reason": "R"}]
    for odd in (7, True, "text", {"reason": "R"}, None):
        assert details_of({"error": {"details": odd}}) == []


def test_a_message_as_deep_as_json_goes_is_read() -> None:
    """An odd error is the provider's failure, never our defect (rule: contract)."""
    body: Any = "Deep."
    for _ in range(5_000):
        body = {"error": [body]}
    assert message_of(body) == "Deep."


@given(body=JSON, status=st.sampled_from((400, 401, 429, 503, 500)))
def test_no_body_breaks_the_reading_of_a_failure(body: Any, status: int) -> None:
    """Every reply of a provider has its line in the table (rule: contract)."""
    told = failure_of_status("p", status, body).error
    assert told.status in (400, 429, 502, 503)
    assert failure_of_error("p", body).error.status >= 400
