"""All routes of this room, as the application takes them."""

from __future__ import annotations

from command_api.health import availability_routes, command_routes, routes

ROUTERS = (routes.router, command_routes.router, availability_routes.router)
