"""Settings of files and of the batches that are made of them."""

from __future__ import annotations

from pydantic import Field

from command_api.settings.group import Group
from domain.pricing.shares import WHOLE


class FileSettings(Group):
    """Files that accounts store for their batches, in the database."""

    bytes_max: int = Field(
        64 * 2**20,
        ge=1,
        le=512 * 2**20,
        alias="GATEWAYZ_FILE_BYTES_MAX",
        description="Largest file that is uploaded, bytes; OpenAI takes 200 MB for a batch.",
    )
    account_files_max: int = Field(
        500,
        ge=0,
        alias="GATEWAYZ_FILES_PER_ACCOUNT_MAX",
        description="Most files of an account, those that batches wrote with them; beyond it "
        "nothing is uploaded.",
    )
    account_bytes_max: int = Field(
        2**30,
        ge=0,
        alias="GATEWAYZ_FILES_BYTES_PER_ACCOUNT_MAX",
        description="Most bytes of all files of an account; beyond it nothing is uploaded.",
    )
    uploads_max: int = Field(
        8,
        ge=1,
        alias="GATEWAYZ_UPLOADS_MAX",
        description="Most uploads that a process stores at once; the others wait on the disk.",
    )


class BatchSettings(Group):
    """Batches: how many, how fast, how long, and for what share of the price."""

    price_percent: int = Field(
        WHOLE,
        ge=0,
        le=WHOLE,
        alias="GATEWAYZ_BATCH_PRICE_PERCENT",
        description="What of a call's price the line of a batch pays: `50` is half of it.",
    )
    lines_max: int = Field(
        50_000,
        ge=1,
        le=1_000_000,
        alias="GATEWAYZ_BATCH_LINES_MAX",
        description="Most requests of a batch.",
    )
    window_s: int = Field(
        86_400,
        ge=1,
        le=604_800,
        alias="GATEWAYZ_BATCH_WINDOW_S",
        description="How long a batch runs before it expires, seconds.",
    )
    result_bytes_max: int = Field(
        2**30,
        ge=1024,
        alias="GATEWAYZ_BATCH_RESULT_BYTES_MAX",
        description="Most bytes of all answers of a batch; what is left then is not called.",
    )
    account_open_max: int = Field(
        50,
        ge=0,
        alias="GATEWAYZ_BATCHES_PER_ACCOUNT_MAX",
        description="Most batches of an account that have not ended.",
    )
    account_running_max: int = Field(
        2,
        ge=1,
        alias="GATEWAYZ_BATCHES_RUNNING_PER_ACCOUNT_MAX",
        description="Most batches of an account that run at once; the others wait.",
    )
    running_max: int = Field(
        8,
        ge=0,
        alias="GATEWAYZ_BATCHES_RUNNING_MAX",
        description="Most batches that a process runs at once; 0 leaves them to others.",
    )
    lines_at_once: int = Field(
        8,
        ge=1,
        le=256,
        alias="GATEWAYZ_BATCH_LINES_AT_ONCE",
        description="Most requests of a batch that are under way at once.",
    )
