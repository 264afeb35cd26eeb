"""The inference operations, each with its route and the reader of its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.operations.audio.request import (
    refuse_plain,
    take_transcription,
    take_translation,
)
from command_api.operations.audio.speech import parse_speech
from command_api.operations.chat import parse_chat
from command_api.operations.embeddings import parse_embeddings
from command_api.operations.image_forms.in_json import parse_edit
from command_api.operations.image_forms.request import (
    EDITED,
    VARIED,
    take_edit,
    take_variation,
)
from command_api.operations.images import parse_images
from command_api.operations.judging.moderations import parse_moderations
from command_api.operations.judging.rerank import parse_rerank
from command_api.operations.messages.request import forward, parse_messages
from command_api.operations.responses.request import parse_responses
from command_api.operations.texts.request import parse_completions
from command_api.uploads.reading import ONE_FILE, FormFiles
from domain.identity.permissions import Permission
from edge.envelopes import ANTHROPIC, OPENAI, Envelope
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.operations.request import InferenceRequest
    from command_api.settings.calls import RequestSettings
    from command_api.uploads.reading import UploadedForm
    from edge.asgi import Headers, Scope

    TakesForm = Callable[[UploadedForm, RequestSettings], InferenceRequest]


class Route(NamedTuple):
    """One operation's route.

    `form` reads what comes as a form with `files`, in the place of `parse`, which reads what is
    JSON where it `takes_json` too. `take_headers` is what it takes from a request's headers beside
    what all routes do; raises ApiError 400.
    """

    path: str
    operation: Operation
    parse: Callable[[bytes, RequestSettings], InferenceRequest]
    needs: Permission
    envelope: Envelope = OPENAI
    take_headers: Callable[[Scope, Headers], None] | None = None
    form: TakesForm | None = None
    files: FormFiles = ONE_FILE
    takes_json: bool = False


ROUTES = (
    Route("/v1/chat/completions", Operation.CHAT, parse_chat, Permission.WRITE_CHAT),
    Route("/v1/completions", Operation.COMPLETIONS, parse_completions, Permission.WRITE_CHAT),
    Route("/v1/responses", Operation.RESPONSES, parse_responses, Permission.WRITE_CHAT),
    Route("/v1/embeddings", Operation.EMBEDDINGS, parse_embeddings, Permission.WRITE_EMBEDDINGS),
    Route("/v1/images/generations", Operation.IMAGES, parse_images, Permission.WRITE_IMAGES),
    Route(
        "/v1/moderations", Operation.MODERATIONS, parse_moderations, Permission.WRITE_MODERATIONS
    ),
    Route("/v1/audio/speech", Operation.SPEECH, parse_speech, Permission.WRITE_CHAT),
    Route("/v1/rerank", Operation.RERANK, parse_rerank, Permission.WRITE_RERANK),
    Route(
        "/v1/messages",
        Operation.MESSAGES,
        parse_messages,
        Permission.WRITE_CHAT,
        ANTHROPIC,
        forward,
    ),
    Route(
        "/v1/audio/transcriptions",
        Operation.TRANSCRIPTIONS,
        refuse_plain,
        Permission.WRITE_CHAT,
        form=take_transcription,
    ),
    Route(
        "/v1/audio/translations",
        Operation.TRANSLATIONS,
        refuse_plain,
        Permission.WRITE_CHAT,
        form=take_translation,
    ),
    Route(
        "/v1/images/edits",
        Operation.IMAGE_EDITS,
        parse_edit,
        Permission.WRITE_IMAGES,
        form=take_edit,
        files=EDITED,
        takes_json=True,
    ),
    Route(
        "/v1/images/variations",
        Operation.IMAGE_VARIATIONS,
        refuse_plain,
        Permission.WRITE_IMAGES,
        form=take_variation,
        files=VARIED,
    ),
)
"""The inference routes, in front of the framework's router (ADR 0007)."""
