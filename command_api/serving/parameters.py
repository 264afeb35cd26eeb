"""What every read route checks of its parameters before it looks at one.

A parameter that nobody knows is refused: who asks for a statement `from` a day must not be given
all of it. Inference routes, whose clients add what they like, ignore them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastapi import Request  # noqa: TC002 - FastAPI reads annotations at run time.

from edge.errors import bad_request

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

PARAMETER_CHARACTERS_MAX = 1_000
PARAMETERS_MAX = 100
CALLBACK = frozenset({"iss", "scope", "authuser", "prompt", "hd", "session_state"})
IGNORED: dict[str, frozenset[str]] = {
    "/v1/models": frozenset({"include_huggingface"}),
    "/v1/responses/{response_id}": frozenset({"include_obfuscation"}),
    "/v1/models/{model_id:path}": frozenset({"include_huggingface"}),
    "/models/{model_id:path}": frozenset({"include_huggingface"}),
    "/auth/oidc/{provider}/callback": CALLBACK | frozenset({"error_description", "error_uri"}),
    "/v1/provider": frozenset({"moderated_only"}),
    "/v1/provider/{name}/stats": frozenset({"gateway"}),
    "/health/gateways/dashboard/data": frozenset({"auto_fix", "include_logs"}),
    "/health/gateways/{gateway}/fix": frozenset({"auto_fix"}),
}
"""What older clients and login providers send and we need not know."""

_KNOWN: dict[str, frozenset[str]] = {}
"""By the name that no two routes of a document share: a path may have several methods."""


async def check_parameters(request: Request) -> None:
    """Raise ApiError 400 for an unknown parameter, or a text that is none or too long."""
    route = cast("APIRoute", request.scope["route"])
    known = _known(route)
    given = request.query_params.multi_items()
    if len(given) > PARAMETERS_MAX:
        message = f"The query has more than {PARAMETERS_MAX} parameters."
        raise bad_request("invalid_value", message)
    for name, value in given:
        if name not in known:
            shown = name[:PARAMETER_CHARACTERS_MAX]
            there = ", ".join(sorted(known)) or "none"
            message = f"There is no parameter {shown!r} here; there are: {there}."
            raise bad_request("unknown_parameter", message, shown)
        _check_text(name, value)
    for name, value in request.path_params.items():
        _check_text(name, value)


def _known(route: APIRoute) -> frozenset[str]:
    found = _KNOWN.get(route.unique_id)
    if found is None:
        declared = frozenset(each.alias for each in route.dependant.query_params)
        found = declared | IGNORED.get(route.path, frozenset())
        _KNOWN[route.unique_id] = found
    return found


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        return
    if len(value) > PARAMETER_CHARACTERS_MAX:
        message = f"{name} is longer than {PARAMETER_CHARACTERS_MAX} characters."
        raise bad_request("invalid_value", message, name)
    if "\x00" in value or not value.isprintable() or "\ufffd" in value:
        # U+FFFD is what stands where bytes were no UTF-8.
        message = f"{name} holds what is no text: NUL, a control character, or bytes not in UTF-8."
        raise bad_request("invalid_text", message, name)
