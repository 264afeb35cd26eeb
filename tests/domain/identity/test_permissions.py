"""Permissions, scopes and roles are one table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.identity.permissions import (
    KINDS,
    ROLES,
    SCOPES_MAX,
    Permission,
    Role,
    lists_of,
    scopes_of,
)


@given(st.frozensets(st.sampled_from(Permission)))
def test_scopes_come_back_from_their_lists(scopes: frozenset[Permission]) -> None:
    """Lists by kind say the same as the set (rule: access)."""
    assert scopes_of(lists_of(scopes)) == scopes


def test_everything_of_a_kind_is_all_of_it() -> None:
    """A star stands for all names of its kind, and for no other kind (rule: access)."""
    found = scopes_of({"read": ["*"], "write": ["chat"]})
    reading = {each for each in Permission if each.startswith("read:")}
    assert found == {*reading, Permission.WRITE_CHAT}


@pytest.mark.parametrize(
    "given_",
    [{"root": ["x"]}, {"read": ["chat"]}, {"write": ["chat "]}, {"read": ["usage"] * 65}],
)
def test_what_there_is_not_is_refused(given_: dict[str, list[str]]) -> None:
    """A wrong name gives a key less or more than was meant: it is refused (rule: access)."""
    assert len(given_.get("read", ())) in {0, 1, SCOPES_MAX + 1}
    with pytest.raises(InvalidCommandError):
        scopes_of(given_)


def test_every_permission_belongs_to_a_role_and_a_kind() -> None:
    """Nothing can be needed that nobody may; users administer nothing (rule: access)."""
    assert ROLES[Role.ADMIN] == set(Permission)
    assert all(each.split(":")[0] in KINDS for each in Permission)
    assert not any(each.startswith("admin:") for each in ROLES[Role.USER] | ROLES[Role.DEVELOPER])
