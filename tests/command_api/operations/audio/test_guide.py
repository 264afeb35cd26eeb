"""What the guide tells a reader to paste."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from domain.pricing.terms import PriceTerms
from providers.inference.registry.providers_file import file_models, read_providers_file
from tests.command_api.operations.audio.test_transcriptions import PATH, wav
from tests.support.harness import ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from event_store.postgres.database import Database

GUIDES = Path(__file__).parents[4] / "docs" / "guides"


def block(kind: str, page: str = "audio.md") -> str:
    """A guide's only block of a kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", (GUIDES / page).read_text(), re.DOTALL)
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


def test_the_models_that_speak_are_read(tmp_path: Path) -> None:
    """Each has a price, and who has events is asked for them (rule: docs)."""
    (path := tmp_path / "providers.toml").write_text(block("toml", "speech.md"))
    entries = read_providers_file(path).provider
    prices = [
        PriceTerms.parse(each.terms or {}) for entry in entries for each in file_models(entry, path)
    ]
    by_text = [each.per_million_characters for each in prices if not each.tokens_stated]
    assert by_text == [15, 22]
    assert [each.tokens_stated for each in prices] == [False, True, False, True]
    assert [entry.speech_events for entry in entries] == [None, None, True]


def test_a_text_is_read_aloud_as_the_guide_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The SDK's snippet makes a file that plays, and curl gets the events (rule: docs)."""
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        key = gateway.user().api_key

        def run(kind: str, command: list[str]) -> str:
            text = block(kind, "speech.md").replace("http://127.0.0.1:8000", gateway.url)
            text = text.replace("gw_live_...", key)
            done = subprocess.run(
                [*command, text], capture_output=True, text=True, check=False, cwd=tmp_path
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("python", [sys.executable, "-c"])
        with wave.open(str(tmp_path / "speech.wav")) as made:
            assert made.getnframes() == 4 * 2_400
        assert '"speech.audio.done"' in run("bash", ["bash", "-c"])
        gateway.verified()
