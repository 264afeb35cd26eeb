"""What /openapi.json says of the inference routes.

Bodies are described as far as the gateway reads them; whatever else OpenAI's or Anthropic's API has
is passed on (OpenAI's own OpenAPI document, version 2.3.0; Anthropic's API reference, 2023-06-01).
"""

from __future__ import annotations

from typing import Any

from command_api.kept_replies.cache_wishes import HEADER_BYTES_MAX
from command_api.kept_replies.idempotency import KEY_CHARACTERS_MAX
from command_api.operations.messages.request import BETAS_BYTES_MAX
from command_api.replies.speech.scanner import KINDS
from command_api.serving.document.refusals import TEXT, refusal
from edge.envelopes import MESSAGES, OVERLOADED
from providers.inference.port import Operation

MODEL = {**TEXT, "description": "A model's id, `provider/id` or one of GET /v1/models."}
COUNT = {"type": "integer", "minimum": 1}
ROUTING = {
    "provider": {"description": "A provider's name, or OpenRouter's object of wishes."},
    "models": {"type": "array", "items": TEXT, "description": "Tried after `model`, in order."},
}
USAGE = {"type": "object", "additionalProperties": True}
PROMPT = {
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": {**TEXT, "enum": ["user", "assistant", "system"]},
                "content": {},
            },
        },
    },
    "system": {"description": "A text, or blocks."},
    "tools": {"type": "array", "items": {"type": "object"}},
    "stop_sequences": {"type": "array", "items": TEXT},
}
"""What the bodies of Anthropic's routes have in common."""
HEARD = {
    "file": {**TEXT, "format": "binary"},
    "prompt": TEXT,
    "response_format": {**TEXT, "enum": ["json", "text", "srt", "verbose_json", "vtt"]},
    "temperature": {"type": "number"},
}
"""What the forms of audio have in common."""
PICTURES = {
    "image": {**TEXT, "format": "binary"},
    "n": COUNT,
    "size": TEXT,
    "response_format": {**TEXT, "enum": ["url", "b64_json"]},
    "user": TEXT,
}
"""What the forms of pictures have in common."""
PARTS = {
    "stream": {"type": "boolean", "default": False},
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
}
"""What asks for an image as it is made."""
REFERENCE = {
    "type": "object",
    "properties": {"image_url": TEXT},
    "required": ["image_url"],
    "additionalProperties": False,
}
EDIT_IN_JSON = {
    "type": "object",
    "properties": {
        "model": MODEL,
        "prompt": TEXT,
        "images": {"type": "array", "minItems": 1, "maxItems": 16, "items": REFERENCE},
        "mask": REFERENCE,
        **PARTS,
    },
    "required": ["model", "prompt", "images"],
    "additionalProperties": True,
}
"""An edit whose pictures are addresses."""
BOTH = {Operation.IMAGE_EDITS}
"""What comes as a form or in JSON."""
FORMS = {
    *(Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS),
    *(Operation.IMAGE_EDITS, Operation.IMAGE_VARIATIONS),
}
ABOUT: dict[Operation, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    Operation.CHAT: (
        "Create a chat completion, whole or as a stream of server-sent events.",
        {
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": "boolean", "default": False},
            "stream_options": {"type": "object"},
            "max_completion_tokens": COUNT,
            "max_tokens": COUNT,
            "n": {**COUNT, "default": 1},
            "tools": {"type": "array", "items": {"type": "object"}},
            "response_format": {"type": "object"},
        },
        ("messages",),
    ),
    Operation.COMPLETIONS: (
        "Complete prompts (OpenAI's older API), whole or as a stream of server-sent events.",
        {
            "prompt": {"description": "A text, a list of texts, tokens, or a list of tokens."},
            "suffix": {"type": ["string", "null"]},
            "max_tokens": {"type": ["integer", "null"], "minimum": 0},
            "n": {**COUNT, "type": ["integer", "null"], "default": 1},
            "best_of": {**COUNT, "type": ["integer", "null"], "default": 1},
            "echo": {"type": ["boolean", "null"], "default": False},
            "logprobs": {"type": ["integer", "null"], "minimum": 0},
            "stop": {"description": "A text, or a list of texts."},
            "seed": {"type": ["integer", "null"]},
            "stream": {"type": ["boolean", "null"], "default": False},
            "stream_options": {"type": ["object", "null"]},
        },
        ("prompt",),
    ),
    Operation.RESPONSES: (
        "Create a response of OpenAI's Responses API, whole or as a stream of server-sent events.",
        {
            "input": {"description": "A text, or items."},
            "background": {"type": ["boolean", "null"], "default": False},
            "instructions": {"type": ["string", "null"]},
            "max_output_tokens": {**COUNT, "type": ["integer", "null"]},
            "previous_response_id": {"type": ["string", "null"]},
            "store": {"type": ["boolean", "null"], "default": True},
            "stream": {"type": ["boolean", "null"], "default": False},
            "tools": {"type": "array", "items": {"type": "object"}},
            "text": {"type": "object"},
        },
        ("input",),
    ),
    Operation.EMBEDDINGS: (
        "Create embeddings.",
        {
            "input": {"description": "A text, a list of texts, tokens, or a list of tokens."},
            "dimensions": COUNT,
            "encoding_format": {**TEXT, "enum": ["float", "base64"]},
        },
        ("input",),
    ),
    Operation.IMAGES: (
        "Create images from a text.",
        {"prompt": TEXT, "n": COUNT, "size": TEXT, **PARTS},
        ("prompt",),
    ),
    Operation.IMAGE_EDITS: (
        "Edit images: make images of pictures and a text, sent as multipart/form-data, or in JSON.",
        {
            **PICTURES,
            "image[]": {"type": "array", "items": {**TEXT, "format": "binary"}, "maxItems": 16},
            "mask": {**TEXT, "format": "binary"},
            "prompt": TEXT,
            "quality": TEXT,
            "background": TEXT,
            "output_format": TEXT,
            "output_compression": {"type": "integer", "minimum": 0, "maximum": 100},
            "input_fidelity": {**TEXT, "enum": ["low", "high"]},
            **PARTS,
        },
        ("prompt",),
    ),
    Operation.IMAGE_VARIATIONS: (
        "Make variations of a picture, sent as multipart/form-data.",
        PICTURES,
        ("image",),
    ),
    Operation.TRANSCRIPTIONS: (
        "Write down what is said in a file of audio, sent as multipart/form-data.",
        {
            **HEARD,
            "language": TEXT,
            "timestamp_granularities[]": {"type": "array", "items": TEXT},
            "stream": {"type": "boolean", "default": False},
        },
        ("file",),
    ),
    Operation.TRANSLATIONS: (
        "Write down in English what is said in a file of audio, sent as multipart/form-data.",
        HEARD,
        ("file",),
    ),
    Operation.MODERATIONS: (
        "Give verdicts on texts and images.",
        {"input": {"description": "A text, a list of texts, or a list of parts."}},
        ("input",),
    ),
    Operation.SPEECH: (
        "Read a text aloud: bytes of audio as they are made, or a stream of server-sent events.",
        {
            "input": {**TEXT, "minLength": 1},
            "voice": {"description": "A voice's name, or an object with the `id` of one's own."},
            "instructions": {"type": ["string", "null"]},
            "response_format": {**TEXT, "enum": [*KINDS], "default": "mp3"},
            "speed": {"type": "number", "minimum": 0.25, "maximum": 4, "default": 1},
            "stream_format": {**TEXT, "enum": ["audio", "sse"], "default": "audio"},
        },
        ("input", "voice"),
    ),
    Operation.RERANK: (
        "Rank documents for a query (Cohere's and Jina's API).",
        {
            "query": TEXT,
            "documents": {
                "type": "array",
                "minItems": 1,
                "items": {"description": "A text, or an object with `text`."},
            },
            "top_n": {**COUNT, "type": ["integer", "null"]},
            "return_documents": {"type": ["boolean", "null"], "default": False},
            "max_tokens_per_doc": {**COUNT, "type": ["integer", "null"]},
        },
        ("query", "documents"),
    ),
    Operation.MESSAGES: (
        "Create a message of Anthropic's API, whole or as a stream of server-sent events.",
        {**PROMPT, "max_tokens": COUNT, "stream": {"type": "boolean", "default": False}},
        ("messages", "max_tokens"),
    ),
    Operation.COUNT_TOKENS: (
        "Count the tokens of a Messages body, without a call.",
        PROMPT,
        ("messages",),
    ),
}
"""What each operation is: its summary, its members, those of them that are required."""
STREAMED = {
    *(Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES, Operation.RESPONSES),
    *(Operation.SPEECH, Operation.TRANSCRIPTIONS, Operation.IMAGES, Operation.IMAGE_EDITS),
}
OPTIONAL_MODEL = {Operation.MODERATIONS}
"""Where a body without a model means one all the same."""
OF_CALLS = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 502, 503, 504)
OF_COUNTS = tuple(status for status in OF_CALLS if status not in {402, 409})
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "schema": TEXT,
    "description": "Comes back with the reply.",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {**TEXT, "maxLength": KEY_CHARACTERS_MAX},
    "description": "A request repeated with it is charged and answered once.",
}
CACHE = {
    "name": "X-Gatewayz-Cache",
    "in": "header",
    "required": False,
    "schema": {**TEXT, "maxLength": HEADER_BYTES_MAX},
    "description": "`on`, `off`, `refresh` or `ttl=N`: whether a cached answer is one.",
}
OF_ANTHROPIC = [
    {
        "name": "anthropic-version",
        "in": "header",
        "required": False,
        "schema": {**TEXT, "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "description": "Goes to Anthropic.",
    },
    {
        "name": "anthropic-beta",
        "in": "header",
        "required": False,
        "schema": {**TEXT, "pattern": "^[A-Za-z0-9_.,-]+$", "maxLength": BETAS_BYTES_MAX},
        "description": "Betas, with commas between them; they go to Anthropic.",
    },
]


def described(operation: Operation) -> dict[str, Any]:
    """An operation's route."""
    summary, members, required = ABOUT[operation]
    path = "/v1/"
    statuses: tuple[int, ...] = OF_CALLS
    security: list[dict[str, list[str]]] = [{"api_key": []}]
    parameters: list[dict[str, Any]] = [IDEMPOTENCY_KEY, REQUEST_ID, CACHE]
    if operation in {Operation.MESSAGES, Operation.COUNT_TOKENS}:
        path, security = MESSAGES, [{"api_key": []}, {"x_api_key": []}]
        statuses = (*statuses, OVERLOADED)
        parameters += OF_ANTHROPIC
    if operation is Operation.COUNT_TOKENS:
        statuses, parameters = OF_COUNTS, [REQUEST_ID, *OF_ANTHROPIC]
    form = operation in FORMS
    sent = "multipart/form-data" if form else "application/json"
    body = {
        "type": "object",
        "properties": {"model": MODEL, **members, **({} if form else ROUTING)},
        "required": [*(() if operation in OPTIONAL_MODEL else ("model",)), *required],
        "additionalProperties": not form,
    }
    more = {"application/json": {"schema": EDIT_IN_JSON}} if operation in BOTH else {}
    answer: dict[str, Any] = {
        "application/json": {"schema": {"type": "object", "properties": {"usage": USAGE}}}
    }
    if operation is Operation.SPEECH:
        answer = {"audio/*": {"schema": {**TEXT, "format": "binary"}}}
    if operation in STREAMED:
        answer["text/event-stream"] = {"schema": TEXT}
    return {
        "summary": summary,
        "operationId": f"create_{operation.name.lower()}",
        "tags": ["inference"],
        "security": security,
        "parameters": parameters,
        "requestBody": {"required": True, "content": {sent: {"schema": body}, **more}},
        "responses": {
            "200": {"description": "the provider's answer", "content": answer},
            **{str(status): refusal(status, path) for status in statuses},
        },
    }
