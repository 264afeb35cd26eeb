"""What users and admins see of coupons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.support.admins import ask, new_admin, told
from tests.support.coupons import new_coupon, redeem

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

PATH = "/admin/coupons"


def test_what_can_be_redeemed_is_offered(gateway: RunningGateway) -> None:
    """What ends first first; not what is used, over, ended, or not begun (rule: contract)."""
    admin, user, other = new_admin(gateway), gateway.user(0), gateway.user(0)
    ahead = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    long, short = (
        new_coupon(gateway, admin, description="Hello"),
        new_coupon(gateway, admin, valid_until=ahead),
    )
    own, used = new_coupon(gateway, admin), new_coupon(gateway, admin, max_uses=1)
    new_coupon(gateway, admin, valid_from=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    ended = new_coupon(gateway, admin)
    with gateway.client(admin) as client:
        client.delete(f"{PATH}/{ended['id']}")
    assert redeem(gateway, user, own["code"]).status_code == 200
    assert redeem(gateway, other, used["code"]).status_code == 200
    found = ask(gateway, user, "/coupons/available").json()
    assert [each["code"] for each in found] == [short["code"], long["code"]]
    assert found[1] == {
        "coupon_id": long["id"],
        "code": long["code"],
        "value_usd": 5.0,
        "coupon_scope": "global",
        "coupon_type": "promotional",
        "description": "Hello",
        "valid_until": long["valid_until"],
        "remaining_uses": 10,
    }


def test_what_was_redeemed_is_told_with_its_balances(gateway: RunningGateway) -> None:
    """Newest first, as the statement has them; another user's is not (rule: contract, P4)."""
    admin, user = new_admin(gateway), gateway.user(1_000_000_000)
    values = ("0.5", "0.000000001")
    made = [new_coupon(gateway, admin, value_usd=each) for each in values]
    for each in made:
        assert redeem(gateway, user, each["code"]).status_code == 200
    found = ask(gateway, user, "/coupons/history").json()
    assert (found["total_redemptions"], found["total_value_redeemed"]) == (2, 0.500000001)
    last, first = found["redemptions"]
    assert (last["coupon_code"], last["value_applied"]) == (made[1]["code"], 1e-9)
    assert (last["user_balance_before"], last["user_balance_after"]) == (1.5, 1.500000001)
    assert (first["user_balance_before"], first["user_balance_after"]) == (1.0, 1.5)
    assert len(ask(gateway, user, "/coupons/history", limit=1).json()["redemptions"]) == 1
    assert ask(gateway, gateway.user(0), "/coupons/history").json()["redemptions"] == []
    for limit in (0, -1, 1_001, 10**30):
        assert ask(gateway, user, "/coupons/history", limit=limit).status_code == 422


def test_admins_list_and_count_coupons(gateway: RunningGateway) -> None:
    """By scope, type and state, in pages; each with its use (rule: contract)."""
    admin, user, other = new_admin(gateway), gateway.user(0), gateway.user(0)
    many = new_coupon(gateway, admin, max_uses=8)
    mine = {"coupon_scope": "user_specific", "max_uses": 1, "assigned_to_user_id": user.user_id}
    own = new_coupon(gateway, admin, coupon_type="compensation", value_usd=2, **mine)
    for by, code in ((user, many), (other, many), (user, own)):
        assert redeem(gateway, by, code["code"]).status_code == 200
    with gateway.client(admin) as client:
        assert client.delete(f"{PATH}/{own['id']}").json()["success"] is True
    page = ask(gateway, admin, PATH).json()
    assert ([each["id"] for each in page["coupons"]], page["total"]) == ([own["id"], many["id"]], 2)
    for parameters, expected in (
        ({"scope": "global"}, [many]),
        ({"coupon_type": "compensation"}, [own]),
        ({"is_active": "true"}, [many]),
        ({"limit": 1, "offset": 1}, [many]),
        ({"scope": "global", "is_active": "false"}, []),
    ):
        found = ask(gateway, admin, PATH, **parameters).json()["coupons"]
        assert [each["id"] for each in found] == [each["id"] for each in expected], parameters
    for parameters in ({"limit": 0}, {"offset": -1}, {"scope": "all"}, {"is_active": "perhaps"}):
        assert ask(gateway, admin, PATH, **parameters).status_code == 422, parameters
    assert ask(gateway, admin, f"{PATH}/{many['id']}").json()["times_used"] == 2
    found = ask(gateway, admin, f"{PATH}/{many['id']}/analytics").json()
    assert {**found, "coupon": None} == {
        "coupon": None,
        "total_redemptions": 2,
        "unique_users": 2,
        "total_value_distributed": 10.0,
        "redemption_rate": 25.0,
        "remaining_uses": 6,
        "is_expired": False,
    }
    assert ask(gateway, admin, f"{PATH}/stats/overview").json() == {
        "total_coupons": 2,
        "active_coupons": 1,
        "user_specific_coupons": 1,
        "global_coupons": 1,
        "total_redemptions": 3,
        "unique_redeemers": 2,
        "total_value_distributed": 12.0,
        "average_redemption_value": 4.0,
    }
    for path in ("nobody", "01890000-0000-7000-8000-000000000000"):
        for suffix in ("", "/analytics"):
            got = ask(gateway, admin, f"{PATH}/{path}{suffix}")
            assert told(got) == (404, "coupon_not_found")
