"""The environment of a child: every setting arrives, in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from command_api.settings import Settings
from command_api.settings.all import VARIABLES
from command_api.settings.surroundings import environment_of
from stream_processors.config import read_config
from tests.command_api.settings.variables import OTHERS, PLACES, keyword

DUMP = """
import json
from command_api.settings import Settings
settings = Settings()
print(json.dumps([group.model_dump(mode="json", by_alias=True) for group in settings.groups()]))
"""


def received(environment: dict[str, str]) -> dict[str, object]:
    """What the settings of a child with this environment are, by variable."""
    done = subprocess.run(
        [sys.executable, "-c", DUMP], env=environment, capture_output=True, text=True, check=True
    )
    return {name: value for group in json.loads(done.stdout) for name, value in group.items()}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any of our variables."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_every_setting_reaches_a_child() -> None:
    """Each that is not its default arrives as it is here; then each default (rule: contract)."""
    changed = Settings(**{keyword(variable): value for variable, value in OTHERS.items()})
    wanted = {
        variable: str(value) if isinstance(value, Path) else value
        for variable, value in OTHERS.items()
    }
    assert received(environment_of(changed)) == wanted
    plain = Settings(home="/a/home")
    defaults = {
        variable: getattr(getattr(plain, group), name) for variable, (group, name) in PLACES.items()
    }
    assert received(environment_of(plain)) == {**defaults, "GATEWAYZ_HOME": "/a/home"}


def test_a_child_means_the_same_files_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths become absolute on the way (rule: contract)."""
    monkeypatch.chdir(tmp_path)
    told = environment_of(Settings(home="home", providers_file="p.toml", secret_file="s.key"))
    assert told["GATEWAYZ_HOME"] == str(tmp_path / "home")
    assert told["GATEWAYZ_PROVIDERS_FILE"] == str(tmp_path / "p.toml")
    assert told["GATEWAYZ_SECRET_FILE"] == str(tmp_path / "s.key")


def test_what_is_ours_never_has_a_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """An override wins over the same variable in other letters; the rest stays (rule: contract)."""
    monkeypatch.setenv("gatewayz_port", "9000")
    monkeypatch.setenv("GATEWAYZ_REDIS_URL", "redis://here")
    monkeypatch.setenv("XAI_API_KEY", "sk")
    told = environment_of(Settings(port=9001, redis_url=None))
    assert received(told)["GATEWAYZ_PORT"] == 9001
    assert received(told)["GATEWAYZ_REDIS_URL"] is None
    assert "gatewayz_port" not in told
    assert told["XAI_API_KEY"] == "sk"


def test_a_worker_reads_the_same_variables() -> None:
    """Stream processors know nothing of ours, and are told by the same way (rule: contract)."""
    settings = Settings(**{keyword(variable): value for variable, value in OTHERS.items()})
    config = read_config(environment_of(settings, database_url="host=/a/socket dbname=x"))
    assert config.database == "host=/a/socket dbname=x"
    assert config.redis_url == settings.redis.url
    assert config.bootstrap == settings.kafka.bootstrap
    assert config.topic == settings.kafka.topic
    assert config.partitions == settings.kafka.partitions
    assert config.host == settings.server.host
    assert config.port == settings.worker.port
    assert config.batch_events_max == settings.worker.batch_events_max
    assert config.log_level == settings.installation.log_level
    assert read_config(environment_of(Settings(), database_url="x")).redis_url is None
