"""What the guides tell a reader to paste does what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from command_api.operations.judging.kinds import moderates, ranks
from domain.events.ledger import HoldSettled
from projections.all import PROJECTIONS
from projections.engine.projection import Projection
from projections.engine.runner import Runner
from projections.hosting import install
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.registry import built_in, loading
from tests.support.harness import running_gateway
from tests.support.history import History
from tests.support.packages import ROOT

if TYPE_CHECKING:
    import pytest

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

GUIDES = ROOT / "docs/guides"
END_OF_BUILT_IN = ')\n"""In the order in which an id'
EVENTS_MAX = 10_000


def pasted(page: str) -> str:
    """The first block of Python on a page."""
    found = re.search(r"```python\n(.*?)```", (GUIDES / page).read_text(), re.DOTALL)
    assert found
    return found[1]


def module_of(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of this source.

    Its file is named in the way of what is no file, or a report of what tests cover looks for it.
    """
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(source, f"<{name}>", "exec"), made.__dict__)  # noqa: S102 - it is our own page.
    return made


def test_answers_are_cached_as_the_guide_says(gateway: RunningGateway) -> None:
    """Its commands, pasted: a miss, a hit, its stream, and a key that opts in (rule: docs)."""
    page = (GUIDES / "cached-answers.md").read_text()
    first, streamed, opted, shared, near = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    user = gateway.user()

    def pasted_out(command: str) -> str:
        command = command.replace("http://127.0.0.1:8000", gateway.url)
        return subprocess.run(
            ["/bin/bash", "-c", command],
            env={
                "GATEWAYZ_API_KEY": user.api_key,
                "KEY_ID": user.key_id,
                "PATH": "/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    told = [pasted_out(first) for _ in range(2)]
    assert ["x-gatewayz-cache: miss" in told[0], "x-gatewayz-cache: hit" in told[1]] == [True] * 2
    assert "age: " in told[1]
    assert pasted_out(streamed).endswith("data: [DONE]\n\n")
    opting = (opted, shared, near)
    opted_in = [json.loads(pasted_out(each))["updated_key"]["cache"] for each in opting]
    assert opted_in[0] == {"ttl_s": 600, "max_age_s": 300}
    assert opted_in[1] == {"ttl_s": 600, "shared": True}
    assert opted_in[2]["semantic"] == {"threshold": "0.9", "scope": "account"}


def test_guards_do_what_the_guide_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Its file and its commands, pasted (rule: docs)."""
    file = tmp_path / "guards.toml"
    file.write_text(blocks("guardrails.md", "toml")[0])
    with running_gateway(database, tmp_path / "home", upstream, guardrails_file=file) as made:
        key, answers = made.user().api_key, []
        for command in blocks("guardrails.md", "bash"):
            done = subprocess.run(
                ["/bin/bash", "-c", command.replace("http://127.0.0.1:8000", made.url)],
                env={"GATEWAYZ_API_KEY": key, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            answers.append(json.loads(done.stdout))
    echoed, refused, judged = answers
    assert echoed["choices"][0]["message"]["content"] == "Mail ann@example.org of E-123456."
    assert (refused["error"]["code"], refused["error"]["guard"]) == (
        "guardrail_blocked",
        "house-words",
    )
    assert (judged["error"]["code"], judged["error"]["guard"]) == ("guardrail_blocked", "judge")
    assert len(judged["error"]["moderation_calls"]) == 1


def test_a_provider_is_added_as_the_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted at the end of the list, its key and its address are read (rule: docs)."""
    source = Path(built_in.__file__).read_text()
    assert source.count(END_OF_BUILT_IN) == 1
    source = source.replace(END_OF_BUILT_IN, pasted("add-a-provider.md") + END_OF_BUILT_IN)
    made = module_of("pasted_built_in", source, monkeypatch)
    assert made.BUILT_IN[-1].name == "acme"
    for name in ("BUILT_IN", "BY_NAME", "NAMES"):
        monkeypatch.setattr(loading, name, getattr(made, name))
    monkeypatch.setattr(loading, "Protocol", made.Protocol)
    registry = loading.load_registry(
        environment={"ACME_API_KEY": "sk-1", "ACME_BASE_URL": "http://127.0.0.1:1/v1"},
        providers_file=None,
        effective_at="2026-01-01T00:00:00.000000Z",
        limits=ClientLimits(connect_s=1, silence_s=1, attempt_s=1, reply_bytes_max=1),
    )
    assert registry.providers["acme"].upstream is not None
    assert registry.providers["acme"].base_url == "http://127.0.0.1:1/v1"


def test_a_read_model_is_added_as_the_guide_says(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted and listed, a migration makes its tables and the log fills them (rule: docs)."""
    made = module_of("pasted_model", pasted("add-a-read-model.md"), monkeypatch)
    (model,) = (
        each()
        for each in vars(made).values()
        if isinstance(each, type) and issubclass(each, Projection) and each is not Projection
    )
    History(database).calls(20)
    monkeypatch.setattr(install, "PROJECTIONS", (*PROJECTIONS, model))
    assert model.name in install.install(database)
    with database.connect() as connection:
        Runner(model).advance(connection, EVENTS_MAX)
        counted = connection.execute("SELECT sum(calls) FROM read_calls_by_provider").fetchone()
        settled = connection.execute(
            "SELECT count(*) FROM events WHERE topic = %s", [HoldSettled.TOPIC]
        ).fetchone()
    assert counted == settled
    assert counted is not None and counted[0] > 0


def blocks(page: str, language: str) -> list[str]:
    """The blocks of one language on a page."""
    text = (GUIDES / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_responses_run_as_the_guide_says(gateway: RunningGateway, tmp_path: Path) -> None:
    """Pasted with a key and an address, each prints what was said; what Codex is told is where the
    gateway is, and the API that it speaks (rule: docs).
    """
    page, key, url = "responses.md", gateway.user().api_key, "http://127.0.0.1:8000"

    def printed(command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    for number, block in enumerate(blocks(page, "python")):
        file = tmp_path / f"snippet_{number}.py"
        file.write_text(block.replace(url, gateway.url).replace("gw_live_...", key))
        assert printed([sys.executable, "-W", "error", str(file)]) == "Hello!"
    (told,) = blocks(page, "toml")
    provider = tomllib.loads(told)["model_providers"]["gatewayz"]
    assert (provider["base_url"], provider["wire_api"]) == (f"{url}/v1", "responses")
    (command,) = blocks(page, "bash")
    pasted = command.replace(url, gateway.url).replace("gw_live_...", key)
    found = json.loads(printed(["bash", "-c", pasted]))
    assert found["output"][0]["content"][0]["text"] == "Hello!"


def test_moderations_and_reranks_run_as_the_guide_says(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    """The SDK's verdicts, the ranking by curl, and the providers file (rule: docs)."""
    page, key, url = "moderations-and-rerank.md", gateway.user().api_key, "http://127.0.0.1:8000"

    def printed(command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    (program,) = blocks(page, "python")
    program = program.replace(url, gateway.url).replace("gw_live_...", key)
    assert printed([sys.executable, "-c", program]) == "[True, False]"
    (command,) = blocks(page, "bash")
    command = command.replace(url, gateway.url).replace("gw_live_...", key)
    (best,) = json.loads(printed(["bash", "-c", command]))["results"]
    assert best == {"index": 1, "relevance_score": 1, "document": {"text": "a red apple"}}
    file = tmp_path / "providers.toml"
    (told,) = blocks(page, "toml")
    file.write_text(told)
    registry = loading.load_registry(
        environment={"OPENAI_API_KEY": "k"},
        providers_file=file,
        effective_at="2026-01-01T00:00:00.000000Z",
        limits=ClientLimits(connect_s=1, silence_s=1, attempt_s=1, reply_bytes_max=1),
    )
    offered = {each.public_id: each for each in registry.models()}
    assert offered["cohere/rerank-v3.5"].price.counts_searches
    assert registry.providers["voyage"].rerank is built_in.Reranks.VOYAGE
    verdicts = [each for each in offered.values() if moderates(each)]
    assert len(verdicts) == 3
    assert len([each for each in offered.values() if ranks(each)]) == 5


def test_anthropics_clients_run_as_the_guide_says(gateway: RunningGateway, tmp_path: Path) -> None:
    """Pasted with a key and an address, each prints what was said; what Claude Code is told is
    where the gateway is (rule: docs).
    """
    page, key, url = "anthropic-sdk.md", gateway.user().api_key, "http://127.0.0.1:8000"

    def printed(command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    for number, block in enumerate(blocks(page, "python")):
        assert block.count(url) == block.count("gw_live_...") == 1
        file = tmp_path / f"snippet_{number}.py"
        file.write_text(block.replace(url, gateway.url).replace("gw_live_...", key))
        assert printed([sys.executable, "-W", "error", str(file)]) == "Hello!"
    told, *commands = blocks(page, "bash")
    assert f"ANTHROPIC_BASE_URL={url}\n" in told
    assert "ANTHROPIC_AUTH_TOKEN=gw_live_..." in told
    found = [
        json.loads(
            printed(["bash", "-c", each.replace(url, gateway.url).replace("gw_live_...", key)])
        )
        for each in commands
    ]
    assert found[0]["content"] == [{"type": "text", "text": "Hello!"}]
    assert found[1] == {"input_tokens": 6}
