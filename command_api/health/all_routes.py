"""All routes of this room, as the application takes them."""

from __future__ import annotations

from fastapi import APIRouter

from command_api.health import availability_routes, command_routes, routes

router = APIRouter()
for each in (routes, command_routes, availability_routes):
    router.include_router(each.router)
