"""GET /modelz/…: the catalog of Modelz, as older clients ask for it. Public."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import Response  # noqa: TC002 - FastAPI reads annotations at run time.

from command_api.catalog_routes import json_reply, timestamp
from command_api.errors import RETRY_AFTER_S, UPSTREAM, ApiError
from providers.inference.built_in import BY_NAME
from providers.inference.modelz import Modelz, ModelzUnavailableError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from command_api.settings import Settings

DESCRIPTIONS = {
    None: "all models",
    True: "graduated models only",
    False: "models that have not graduated",
}


def add_modelz_routes(app: FastAPI, settings: Settings) -> None:
    """Serve the routes."""
    entry = BY_NAME["modelz"]
    base_url = os.environ.get(entry.variable("BASE_URL")) or entry.base_url
    modelz = Modelz(base_url, keep_s=settings.model_list_interval_s)

    async def listed(graduated: bool | None) -> list[dict[str, Any]]:
        try:
            return await modelz.models(graduated)
        except ModelzUnavailableError as error:
            after = {"retry-after": str(RETRY_AFTER_S)}
            text = f"{error}: try again."
            raise ApiError(503, "modelz_unavailable", text, kind=UPSTREAM, headers=after) from None

    def about(graduated: bool | None) -> dict[str, Any]:
        return {
            "filter": {"is_graduated": graduated, "description": DESCRIPTIONS[graduated]},
            "source": "modelz",
            "timestamp": timestamp(),
        }

    @app.get("/modelz/models")
    async def models(is_graduated: bool | None = None) -> Response:
        """All of them."""
        found = await listed(is_graduated)
        more = {"total_count": len(found), "api_reference": entry.base_url + "/api/tokens"}
        return json_reply({"models": found, **more, **about(is_graduated)})

    @app.get("/modelz/ids")
    async def ids(is_graduated: bool | None = None) -> Response:
        """Their ids."""
        found = [each["model_id"] for each in await listed(is_graduated)]
        return json_reply({"model_ids": found, "total_count": len(found), **about(is_graduated)})

    @app.get("/modelz/check/{model_id}")
    async def check(model_id: str, is_graduated: bool | None = None) -> Response:
        """Whether there is one of this id."""
        rows = await listed(is_graduated)
        found = next((each for each in rows if each["model_id"] == model_id), None)
        body = {"model_id": model_id, "exists_on_modelz": found is not None}
        details = {} if found is None else {"model_details": found}
        return json_reply({**body, **about(is_graduated), **details})
