"""A gateway with models that judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.harness import RunningGateway, ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

MODELS = """
[[provider.model]]
id = "omni-moderation-latest"
input_per_million = "0"
output_per_million = "0"
[[provider.model]]
id = "mistral-moderation-latest"
input_per_million = "0.1"
output_per_million = "7"
per_input_image = "0.001"
[[provider.model]]
id = "guard"
input_per_million = "1"
output_per_million = "1"
output_modalities = ["moderation"]
[[provider.model]]
id = "moderation-pixels"
per_image = "1"
[[provider.model]]
id = "rerank-v3.5"
per_thousand_searches = "2"
[[provider.model]]
id = "by-tokens"
input_per_million = "0.02"
output_per_million = "9"
output_modalities = ["score"]
[[provider.model]]
id = "by-both"
input_per_million = "0.02"
output_per_million = "0"
per_thousand_searches = "2"
[[provider.model]]
id = "rerank-pixels"
per_image = "1"
[[provider]]
name = "voyage"
base_url = "{base_url}"
api_key = "k"
rerank = "voyage"
[[provider.model]]
id = "rerank-2.5"
input_per_million = "0.05"
output_per_million = "0"
"""


@pytest.fixture
def judges(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """The gateway; its books are right afterwards."""
    text = MODELS.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()
