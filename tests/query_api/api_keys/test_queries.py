"""What is shown of keys, whatever stands in their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from command_api.identity.key_orders import Maker
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from query_api.api_keys.queries import read_key, read_keys, scopes_shown
from tests.support.history import SECRET

if TYPE_CHECKING:
    from event_store.postgres.database import Database

OPERATOR = Maker("test")


def test_the_primary_key_is_the_oldest_that_was_not_revoked(database: Database) -> None:
    """One past its end is still listed, with no days left (rule: contract)."""
    known = Users(database, Vault(SECRET), actor="test")
    user = known.create_user("ann@example.com")
    second = known.create_key(user.user_id, "second")[0]
    past = {"expires_at": "2020-01-01T00:00:00.000000Z"}
    known.keys.change(UUID(second), OPERATOR, past, {})
    known.revoke_key(user.key_id, "test")
    third = known.create_key(user.user_id, "third")[0]
    known.close()
    shown = read_keys(database, user.user_id)
    assert [each["id"] for each in shown] == [user.key_id, second, third]
    assert [each["is_primary"] for each in shown] == [False, True, False]
    assert [each["is_active"] for each in shown] == [False, True, True]
    assert [each["days_remaining"] for each in shown] == [None, 0, None]
    assert shown[1]["updated_at"] > shown[1]["created_at"]
    assert shown[2]["last4"] == shown[2]["api_key"][-4:]


def test_nobody_has_no_keys(database: Database) -> None:
    """Nor one of an id that is not theirs (rule: access)."""
    known = Users(database, Vault(SECRET), actor="test")
    user = known.create_user("ann@example.com")
    known.close()
    assert read_keys(database, str(uuid4())) == []
    assert read_key(database, str(uuid4()), user.key_id) is None
    assert read_key(database, user.user_id, str(uuid4())) is None


def test_scopes_are_shown_by_kind() -> None:
    """Nothing where they do not limit; an unknown name is left out (rule: contract)."""
    assert scopes_shown({}) == {}
    assert scopes_shown({"scopes": ["read:gone", "read:usage"]}) == {
        "read": ["usage"],
        "write": [],
        "admin": [],
    }
