"""The inference operations, each with its route and the reader of its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.operations.chat import parse_chat
from command_api.operations.embeddings import parse_embeddings
from command_api.operations.images import parse_images
from domain.identity.permissions import Permission
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.operations.request import InferenceRequest
    from command_api.settings.calls import RequestSettings


class Route(NamedTuple):
    """One operation's route."""

    path: str
    operation: Operation
    parse: Callable[[bytes, RequestSettings], InferenceRequest]
    needs: Permission


ROUTES = (
    Route("/v1/chat/completions", Operation.CHAT, parse_chat, Permission.WRITE_CHAT),
    Route("/v1/embeddings", Operation.EMBEDDINGS, parse_embeddings, Permission.WRITE_EMBEDDINGS),
    Route("/v1/images/generations", Operation.IMAGES, parse_images, Permission.WRITE_IMAGES),
)
"""The inference routes, in front of the framework's router (ADR 0007)."""
