"""Requests that a second admin decides: by whom, once, in time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.approvals.requests import (
    Act,
    Approval,
    ApprovalOverError,
    Order,
    OwnRequestError,
    RequestReusedError,
    Status,
    UnknownApprovalError,
    decide_approval,
    needs_second,
    replay_approval,
    request_approval,
)
from domain.events.base import By
from domain.events.catalog import ModelDelisted

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp

STAMP: Stamp = {"id": "e", "effective_at": "t", "actor": "a", "correlation_id": "c"}
ORDER = Order(
    act=Act.GRANT, account_id="acc", amount=7, kind="bonus", made_id=UUID(int=5), expires_at="x"
)
ANN, BOB, SHELL = By("ann", "o", "why"), By("bob"), By()
NOW, LATER = "2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"


def asked(by: By = ANN) -> Approval:
    """One that is open."""
    (event,) = request_approval(None, ORDER, by, STAMP, LATER)
    found = replay_approval([event])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("amount", "above", "needed"), [(5, 0, False), (5, 5, False), (6, 5, True), (0, 5, False)]
)
def test_above_the_amount_a_second_is_needed(amount: int, above: int, needed: bool) -> None:
    """0 asks for none (rule: access)."""
    assert needs_second(amount, above) is needed


def test_a_request_is_made_once() -> None:
    """The same again is the same, anything else under its key is refused (P3)."""
    known = asked()
    assert known.order == ORDER
    assert known.requested.originator_id == ORDER.approval_id
    assert request_approval(known, ORDER, ANN, STAMP, LATER) == []
    for order, by in ((replace(ORDER, amount=8), ANN), (ORDER, BOB)):
        with pytest.raises(RequestReusedError):
            request_approval(known, order, by, STAMP, LATER)


@pytest.mark.parametrize(("approve", "status"), [(True, "approved"), (False, "declined")])
def test_another_admin_decides_once(approve: bool, status: str) -> None:
    """Never who asked; so again changes nothing, otherwise it is too late (rule: access)."""
    known = asked()
    with pytest.raises(OwnRequestError):
        decide_approval(known, By("ann", "elsewhere"), STAMP, NOW, approve=approve)
    with pytest.raises(OwnRequestError):
        decide_approval(asked(SHELL), SHELL, STAMP, NOW, approve=approve)
    (event,) = decide_approval(known, BOB, STAMP, NOW, approve=approve)
    odd: Event = ModelDelisted(
        originator_id=UUID(int=1), originator_version=1, **STAMP, provider="p", model="m"
    )
    assert replay_approval([event, odd]) is None
    decided = replay_approval([known.requested, odd, event])
    assert decided is not None
    assert decided.status(LATER) == status
    assert decide_approval(decided, SHELL, STAMP, LATER, approve=approve) == []
    with pytest.raises(ApprovalOverError, match=status):
        decide_approval(decided, BOB, STAMP, NOW, approve=not approve)


def test_a_request_has_its_time() -> None:
    """At its instant it is over (rule: bounded)."""
    known = asked()
    assert (known.status(NOW), known.status(LATER)) == (Status.PENDING, Status.EXPIRED)
    for approve in (True, False):
        with pytest.raises(ApprovalOverError, match="expired"):
            decide_approval(known, BOB, STAMP, LATER, approve=approve)
    with pytest.raises(UnknownApprovalError):
        decide_approval(None, BOB, STAMP, NOW, approve=True)
