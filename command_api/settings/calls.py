"""Settings of a call, from its body to its settlement."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from command_api.settings.group import Group
from domain.pricing.usage import REPORTED_TOKENS_MAX


class RequestSettings(Group):
    """What a request may hold."""

    body_bytes_max: int = Field(
        8 * 2**20,
        ge=1024,
        alias="GATEWAYZ_BODY_BYTES_MAX",
        description="Largest request body, bytes.",
    )
    bodies_bytes_max: int = Field(
        256 * 2**20,
        ge=1024,
        alias="GATEWAYZ_BODIES_BYTES_MAX",
        description="Most bytes that the larger bodies of requests under way hold in a process.",
    )
    body_timeout_s: float = Field(
        30.0,
        gt=0,
        alias="GATEWAYZ_BODY_TIMEOUT_S",
        description="Time to send a request body, seconds.",
    )
    messages_max: int = Field(
        4_096, ge=1, alias="GATEWAYZ_MESSAGES_MAX", description="Most messages in a request."
    )
    choices_max: int = Field(128, ge=1, alias="GATEWAYZ_CHOICES_MAX", description="Largest `n`.")
    images_max: int = Field(
        10, ge=1, alias="GATEWAYZ_IMAGES_MAX", description="Largest `n` of images."
    )
    embedding_inputs_max: int = Field(
        2_048,
        ge=1,
        alias="GATEWAYZ_EMBEDDING_INPUTS_MAX",
        description="Most inputs of one embeddings request.",
    )
    moderation_inputs_max: int = Field(
        1_024,
        ge=1,
        alias="GATEWAYZ_MODERATION_INPUTS_MAX",
        description="Most inputs of one moderations request.",
    )
    rerank_documents_max: int = Field(
        10_000,
        ge=1,
        alias="GATEWAYZ_RERANK_DOCUMENTS_MAX",
        description="Most documents of one rerank request.",
    )
    speech_characters_max: int = Field(
        4_096,
        ge=1,
        le=100_000,
        alias="GATEWAYZ_SPEECH_CHARACTERS_MAX",
        description="Most characters of a text that is read aloud, and of its instructions.",
    )
    completion_prompts_max: int = Field(
        2_048,
        ge=1,
        alias="GATEWAYZ_COMPLETION_PROMPTS_MAX",
        description="Most prompts of one completions request.",
    )
    embedding_dimensions_max: int = Field(
        16_384,
        ge=1,
        alias="GATEWAYZ_EMBEDDING_DIMENSIONS_MAX",
        description="Largest `dimensions` of embeddings.",
    )
    audio_file_bytes_max: int = Field(
        25 * 2**20,
        ge=1024,
        alias="GATEWAYZ_AUDIO_FILE_BYTES_MAX",
        description="Largest file of audio, bytes.",
    )
    image_file_bytes_max: int = Field(
        50 * 2**20,
        ge=1024,
        alias="GATEWAYZ_IMAGE_FILE_BYTES_MAX",
        description="Largest picture to edit, bytes; all of a form are at most four times that.",
    )
    audio_minutes_max: int = Field(
        240,
        ge=1,
        le=10_000,
        alias="GATEWAYZ_AUDIO_MINUTES_MAX",
        description="Longest audio that is held and charged for, minutes.",
    )
    uploads_bytes_max: int = Field(
        4 * 2**30,
        ge=1024,
        alias="GATEWAYZ_UPLOADS_BYTES_MAX",
        description="Most bytes of files of requests under way on the disk of a process.",
    )
    upload_timeout_s: float = Field(
        300.0,
        gt=0,
        alias="GATEWAYZ_UPLOAD_TIMEOUT_S",
        description="Time to send a form with a file, seconds.",
    )
    upload_dir: Path | None = Field(
        None,
        alias="GATEWAYZ_UPLOAD_DIR",
        description="Where files of requests wait, unlinked; empty for the system's own place.",
    )
    usage_tokens_max: int = Field(
        2_000_000,
        ge=1,
        le=REPORTED_TOKENS_MAX,
        alias="GATEWAYZ_USAGE_TOKENS_MAX",
        description="Most tokens that a provider's report is believed where neither the model's "
        "length nor the request says more.",
    )
    uses_max: int = Field(
        10,
        ge=1,
        le=10_000,
        alias="GATEWAYZ_USES_MAX",
        description="Most searches of one kind that a call is held for and pays where it states "
        "no maximum of its own and its price is by their uses.",
    )


class HoldSettings(Group):
    """What is held for a call, and how long (money rules 2 and 11)."""

    default_output_tokens: int = Field(
        4_096,
        ge=1,
        alias="GATEWAYZ_HOLD_DEFAULT_OUTPUT_TOKENS",
        description="Output tokens held when the caller gives no maximum.",
    )
    strict: bool = Field(
        default=False,
        alias="GATEWAYZ_STRICT_HOLDS",
        description="Send the held output bound upstream when the caller gave none.",
    )
    house_loss_day_max_nano_usd: int = Field(
        1_000_000_000,
        ge=0,
        alias="GATEWAYZ_HOUSE_LOSS_DAY_MAX_NANO_USD",
        description="Costs of an account's calls that nobody pays, in a day (UTC), beyond which "
        "its calls are refused; nano-USD.",
    )
    grace_s: int = Field(
        600,
        ge=1,
        alias="GATEWAYZ_HOLD_GRACE_S",
        description="Life of a hold past its call's deadline, seconds.",
    )


class QueueSettings(Group):
    """How many calls are made at once, and who waits for how long."""

    calls_max: int = Field(
        5_000,
        ge=1,
        alias="GATEWAYZ_CALLS_MAX",
        description="Most calls under way in a process.",
    )
    waiting_max: int = Field(
        1_000,
        ge=0,
        alias="GATEWAYZ_QUEUE_MAX",
        description="Most calls that wait for their turn in a process; beyond it the lowest class "
        "is refused.",
    )
    wait_s: float = Field(
        5.0,
        gt=0,
        alias="GATEWAYZ_QUEUE_WAIT_S",
        description="Longest wait of a call for its turn, seconds.",
    )


class CallSettings(Group):
    """How long a call may take, and what a hang-up does to it."""

    deadline_s: float = Field(
        600.0,
        gt=0,
        alias="GATEWAYZ_CALL_DEADLINE_S",
        description="Longest life of a call, seconds.",
    )
    first_output_s: float = Field(
        30.0,
        gt=0,
        alias="GATEWAYZ_FIRST_OUTPUT_S",
        description="Longest silence of a stream while another offer waits, seconds.",
    )
    on_disconnect: Literal["cancel", "drain"] = Field(
        "cancel",
        alias="GATEWAYZ_ON_DISCONNECT",
        description="What a hang-up does to a stream: cancel it, or let it run out.",
    )


class BackgroundSettings(Group):
    """Responses that run in the background, in the memory of their process until they end."""

    runs_max: int = Field(
        100,
        ge=0,
        alias="GATEWAYZ_BACKGROUND_RUNS_MAX",
        description="Most responses that run in the background in a process.",
    )
    account_runs_max: int = Field(
        20,
        ge=0,
        alias="GATEWAYZ_BACKGROUND_RUNS_PER_ACCOUNT_MAX",
        description="Most responses that run in the background for an account.",
    )
    run_s: float = Field(
        600.0,
        gt=0,
        alias="GATEWAYZ_BACKGROUND_RUN_S",
        description="Longest time that a response runs in the background, seconds; never longer "
        "than a call lives.",
    )
    events_bytes_max: int = Field(
        8 * 2**20,
        ge=0,
        alias="GATEWAYZ_BACKGROUND_EVENTS_BYTES_MAX",
        description="Most bytes of events that are kept of a streamed one; of a longer one the "
        "last event has what the others had.",
    )


class UpstreamSettings(Group):
    """The providers, and what is waited for and taken from them."""

    providers_file: Path | None = Field(
        None,
        alias="GATEWAYZ_PROVIDERS_FILE",
        description="TOML file of providers, models and prices.",
    )
    connect_s: float = Field(
        5.0,
        gt=0,
        alias="GATEWAYZ_UPSTREAM_CONNECT_S",
        description="Time to connect upstream, seconds.",
    )
    silence_s: float = Field(
        120.0,
        gt=0,
        alias="GATEWAYZ_UPSTREAM_SILENCE_S",
        description="Longest silence of an upstream, seconds.",
    )
    reply_bytes_max: int = Field(
        64 * 2**20,
        ge=1024,
        alias="GATEWAYZ_UPSTREAM_REPLY_BYTES_MAX",
        description="Largest reply of an upstream, bytes.",
    )


class GuardrailSettings(Group):
    """What looks at prompts and answers."""

    file: Path | None = Field(
        None,
        alias="GATEWAYZ_GUARDRAILS_FILE",
        description="TOML file of guards; without it there are none.",
    )


class RoutingSettings(Group):
    """Which offers are tried, and when one is left alone."""

    attempts_max: int = Field(
        4,
        ge=1,
        le=16,
        alias="GATEWAYZ_ATTEMPTS_MAX",
        description="Most offers that are tried for one call.",
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        alias="GATEWAYZ_BREAKER_FAILURES",
        description="Consecutive failures that open an offer's circuit breaker.",
    )
    breaker_open_s: float = Field(
        60.0,
        gt=0,
        alias="GATEWAYZ_BREAKER_OPEN_S",
        description="How long a breaker stays open before it lets a probe pass, seconds.",
    )
    breaker_successes: int = Field(
        3,
        ge=1,
        alias="GATEWAYZ_BREAKER_SUCCESSES",
        description="Consecutive successes that close a breaker.",
    )
    provider_wait_s: float = Field(
        5.0,
        ge=0,
        alias="GATEWAYZ_PROVIDER_WAIT_S",
        description="Longest wait of a call for room at a provider that is at its limit, seconds.",
    )
    provider_waiting_max: int = Field(
        1_000,
        ge=0,
        alias="GATEWAYZ_PROVIDER_WAITING_MAX",
        description="Most calls of a process that wait for room at one provider.",
    )
