"""A batch as OpenAI's `Batch` tells it, and the lines of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.batches.checking import BatchError
from command_api.files.ids import BATCH, FILE, shown_id
from domain.batches.batch import Status

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from command_api.batches.lines import LineError
    from command_api.batches.rows import BatchRow
    from command_api.batches.running.line_route import Answer

FINALIZING = "finalizing"


class Result(NamedTuple):
    """What a line was answered, as it stands in a file."""

    line: int
    body: bytes
    failed: bool


decode_errors = msgspec.json.Decoder(list[BatchError]).decode


def told_batch(
    row: BatchRow, metadata: dict[str, str] | None, errors: bytes | None
) -> dict[str, Any]:
    """A batch; `errors` are those of its file, as JSON."""
    status, ended = row.status, row.ended_at is not None
    if status == Status.IN_PROGRESS and row.finalizing_at is not None:
        status = FINALIZING

    def at(wanted: Status) -> int | None:
        return _unix(row.ended_at) if row.status == wanted else None

    return {
        "id": shown_id(BATCH, row.batch_id),
        "object": "batch",
        "endpoint": row.endpoint,
        "errors": None if errors is None else {"object": "list", "data": decode_errors(errors)},
        "input_file_id": shown_id(FILE, row.input_file_id),
        "completion_window": "24h",
        "status": status,
        "output_file_id": _file(row.output_file_id) if ended else None,
        "error_file_id": _file(row.error_file_id) if ended else None,
        "created_at": _unix(row.created_at),
        "in_progress_at": _unix(row.in_progress_at),
        "expires_at": _unix(row.expires_at),
        "finalizing_at": _unix(row.finalizing_at),
        "completed_at": at(Status.COMPLETED),
        "failed_at": at(Status.FAILED),
        "expired_at": at(Status.EXPIRED),
        "cancelling_at": _unix(row.cancelling_at),
        "cancelled_at": at(Status.CANCELLED),
        "request_counts": {
            "total": row.total,
            "completed": row.completed,
            "failed": row.failed,
        },
        "metadata": metadata,
    }


def _unix(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp())


def _file(file_id: UUID | None) -> str | None:
    return None if file_id is None else shown_id(FILE, file_id)


def answered_line(batch_id: UUID, number: int, custom_id: str, answer: Answer) -> bytes:
    """A line of an output or an error file: what a call was answered, on one line."""
    return _line(
        answer.call_id.replace("-", "") or f"{batch_id.hex}_{number}",
        custom_id,
        {
            "status_code": answer.status,
            "request_id": answer.call_id,
            # A provider may write its JSON on many lines.
            "body": msgspec.Raw(msgspec.json.format(answer.body, indent=-1)),
        },
        None,
    )


def uncalled_line(batch_id: UUID, number: int, custom_id: str, error: LineError) -> bytes:
    """The same of a line that was not called."""
    told = {"code": error.code, "message": error.message}
    return _line(f"{batch_id.hex}_{number}", custom_id, None, told)


def _line(
    named: str, custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None
) -> bytes:
    told = {
        "id": f"batch_req_{named}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return msgspec.json.encode(told) + b"\n"
