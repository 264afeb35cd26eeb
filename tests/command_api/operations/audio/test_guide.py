"""What the guide tells a reader to paste."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from providers.inference.registry.providers_file import file_models, read_providers_file
from tests.command_api.operations.audio.test_transcriptions import PATH, wav
from tests.support.harness import ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from event_store.postgres.database import Database

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "audio.md"


def block(kind: str) -> str:
    """The guide's only block of a kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert isinstance(found, str)
    return found


def test_the_guides_models_are_read(tmp_path: Path) -> None:
    """Each has a price (rule: docs)."""
    (path := tmp_path / "providers.toml").write_text(block("toml"))
    (entry,) = read_providers_file(path).provider
    assert [each.id for each in file_models(entry, path)] == ["whisper-1", "gpt-4o-transcribe"]


def test_the_guides_request_is_answered(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The form that curl sends by it (rule: docs)."""
    text = block("bash")
    assert PATH in text
    fields = dict(re.findall(r"-F (\w+)=(\S+)", text))
    name = fields.pop("file").removeprefix("@")
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        with gateway.client(gateway.user()) as client:
            got = client.post(PATH, data=fields, files={"file": (name, wav(1))})
        assert got.status_code == 200
        gateway.verified()
