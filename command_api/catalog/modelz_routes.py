"""GET /modelz/…: the catalog of Modelz, as older clients ask for it. Public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from edge.access import OPEN
from edge.errors import UPSTREAM, unavailable
from edge.replies import json_reply, timestamp
from providers.inference.lists.modelz import Modelz, ModelzUnavailableError
from providers.inference.registry.built_in import BY_NAME

if TYPE_CHECKING:
    from command_api.settings import Settings

ENTRY = BY_NAME["modelz"]
DESCRIPTIONS = {
    None: "all models",
    True: "graduated models only",
    False: "models that have not graduated",
}


router = APIRouter(dependencies=[OPEN])


def modelz_of(settings: Settings) -> Modelz:
    """Modelz, wherever `MODELZ_BASE_URL` says that it is."""
    base_url = settings.environment.get(ENTRY.variable("BASE_URL")) or ENTRY.base_url
    return Modelz(base_url, keep_s=settings.catalog.model_list_interval_s)


async def _modelz(request: Request) -> Modelz:
    found: Modelz = request.app.state.modelz
    return found


Source = Annotated[Modelz, Depends(_modelz)]


async def _listed(modelz: Modelz, graduated: bool | None) -> list[dict[str, Any]]:
    try:
        return await modelz.models(graduated)
    except ModelzUnavailableError as error:
        text = f"{error}: try again."
        raise unavailable("modelz_unavailable", text, kind=UPSTREAM) from None


def _about(graduated: bool | None) -> dict[str, Any]:
    return {
        "filter": {"is_graduated": graduated, "description": DESCRIPTIONS[graduated]},
        "source": "modelz",
        "timestamp": timestamp(),
    }


@router.get("/modelz/models")
async def models(modelz: Source, is_graduated: bool | None = None) -> Response:
    """All of them."""
    found = await _listed(modelz, is_graduated)
    more = {"total_count": len(found), "api_reference": ENTRY.base_url + "/api/tokens"}
    return json_reply({"models": found, **more, **_about(is_graduated)})


@router.get("/modelz/ids")
async def ids(modelz: Source, is_graduated: bool | None = None) -> Response:
    """Their ids."""
    found = [each["model_id"] for each in await _listed(modelz, is_graduated)]
    return json_reply({"model_ids": found, "total_count": len(found), **_about(is_graduated)})


@router.get("/modelz/check/{model_id}")
async def check(modelz: Source, model_id: str, is_graduated: bool | None = None) -> Response:
    """Whether there is one of this id."""
    rows = await _listed(modelz, is_graduated)
    found = next((each for each in rows if each["model_id"] == model_id), None)
    body = {"model_id": model_id, "exists_on_modelz": found is not None}
    details = {} if found is None else {"model_details": found}
    return json_reply({**body, **_about(is_graduated), **details})
