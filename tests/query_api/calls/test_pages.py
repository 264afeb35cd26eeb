"""GET /v1/calls: the calls that ended, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.harness import reply

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway, ScriptedUpstream


def test_calls_are_listed_as_they_ended(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Settled and voided, the newest first, with what each did to the balance; only the caller's
    (P4, rule: contract, rule: access).
    """
    user, other = gateway.user(), gateway.user()
    first = gateway.chat(user, {})
    upstream.answer = lambda connection, _: reply(connection, b"{}", status=400)
    failed = gateway.chat(user, {})
    with gateway.client(user) as client:
        page = client.get("/v1/calls").json()
    assert (page["object"], page["has_more"], page["next_before"]) == ("list", False, None)
    assert [each["status"] for each in page["data"]] == ["voided", "settled"]
    assert [each["id"] for each in page["data"]] == [
        each.headers["x-gatewayz-call-id"] for each in (failed, first)
    ]
    story = gateway.story(user, first)
    assert page["data"][1]["posted_nano_usd"] == -story["charged_nano_usd"]
    assert page["data"][1]["posted_usd"] == f"-{story['charged_usd']}"
    assert page["data"][0]["posted_nano_usd"] == 0
    with gateway.client(other) as client:
        assert client.get("/v1/calls").json()["data"] == []


def test_pages_follow_each_other(gateway: RunningGateway) -> None:
    """None twice and none left out; what cannot be is refused (rule: bounded)."""
    user = gateway.user()
    for _ in range(3):
        gateway.chat(user, {})
    with gateway.client(user) as client:
        whole = client.get("/v1/calls").json()["data"]
        one = client.get("/v1/calls", params={"limit": 2}).json()
        two = client.get("/v1/calls", params={"limit": 2, "before": one["next_before"]}).json()
        assert one["data"] + two["data"] == whole
        assert (one["has_more"], two["has_more"]) == (True, False)
        assert client.get("/v1/calls", params={"before": 1}).json()["data"] == []
        for wrong in ("limit=0", "limit=101", "limit=x", "before=0", f"before={2**63}", "after=1"):
            assert client.get(f"/v1/calls?{wrong}").status_code in (400, 422), wrong
        assert client.get("/v1/calls?completion_id=").status_code == 422
