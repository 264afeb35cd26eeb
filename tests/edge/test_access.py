"""Every route says what it needs of its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute

from command_api.operations.table import ROUTES
from command_api.serving.app import ROUTERS
from domain.identity.permissions import ROLES, Permission, Role
from edge.access import OPEN, Needs, admit
from edge.caller import Caller
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.dependencies.models import Dependant

    from command_api.operations.table import Route

DECLARED = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def _calls_of(dependant: Dependant) -> Iterator[object]:
    for each in dependant.dependencies:
        yield getattr(each.call, "__self__", each.call)
        yield from _calls_of(each)


@pytest.mark.parametrize("route", DECLARED, ids=lambda route: route.path)
def test_every_route_declares_what_it_needs(route: APIRoute) -> None:
    """One permission that some role has, or that it is open; never neither (rule: access)."""
    found = list(_calls_of(route.dependant))
    needed = {each.permission for each in found if isinstance(each, Needs)}
    opened = OPEN.dependency in found
    assert len(needed) + opened == 1, f"{route.path} needs {needed}, open: {opened}"
    assert needed <= ROLES[Role.ADMIN]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_inference_needs_a_permission_that_users_have(route: Route) -> None:
    """Each operation can be called by every role (rule: access)."""
    assert route.needs in ROLES[Role.USER]


def _caller(**more: object) -> Caller:
    return Caller("k", "u", "a", b"", "gw_live_...x", b"", **more)  # type: ignore[arg-type]


def test_a_scope_too_small_is_named() -> None:
    """403 names the scope that the key lacks (rule: refuse clearly)."""
    reader = _caller(scopes=frozenset({Permission.READ_USAGE}))
    admit(reader, Permission.READ_USAGE)
    with pytest.raises(ApiError, match="lacks the scope write:chat") as refused:
        admit(reader, Permission.WRITE_CHAT)
    assert (refused.value.status, refused.value.code) == (403, "insufficient_scope")
    assert refused.value.extra == {"scope": "write:chat"}


def test_no_scope_lifts_a_role() -> None:
    """Scopes limit what a role may, they add nothing to it (rule: access)."""
    everything = frozenset(Permission)
    with pytest.raises(ApiError, match="which a user has not") as refused:
        admit(_caller(scopes=everything), Permission.ADMIN_ROLES)
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    admit(_caller(scopes=everything, role=Role.ADMIN), Permission.ADMIN_ROLES)
    admit(_caller(role=Role.ADMIN), Permission.ADMIN_ROLES)
