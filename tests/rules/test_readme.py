"""The first page: what may be pasted runs, what it shows is what comes, what it lists is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from command_api.operations.table import ROUTES
from tests.servers import fetch
from tests.servers.provide import absent

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
HELLO = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello!"}]}
BASE_URL, KEY = "http://127.0.0.1:8000/v1", "gw_live_..."
TIMEOUT_S = 60
CHANGING = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|\bchatcmpl-sim-[0-9a-f]+"
)
"""What differs from call to call: ids and times."""


def snippets(language: str) -> list[str]:
    """The blocks of one language that call the gateway."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for block in found if BASE_URL in block]


def pasted(snippet: str, gateway: RunningGateway) -> str:
    """The block with this gateway's address and a user's key in it."""
    assert snippet.count(BASE_URL) == snippet.count(KEY) == 1
    return snippet.replace(BASE_URL, f"{gateway.url}/v1").replace(KEY, gateway.user().api_key)


def printed(command: list[str], folder: Path) -> str:
    """What a program printed; it must end well."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("library", ["openai", "langchain_openai"])
def test_the_python_snippets_run(library: str, gateway: RunningGateway, tmp_path: Path) -> None:
    """Pasted into a file, without a warning (rule: docs)."""
    (snippet,) = [each for each in snippets("python") if f"from {library} import" in each]
    file = tmp_path / "snippet.py"
    file.write_text(pasted(snippet, gateway))
    assert printed([sys.executable, "-W", "error", str(file)], tmp_path) == "Hello!"


def test_the_typescript_snippet_runs(gateway: RunningGateway, tmp_path: Path) -> None:
    """Pasted beside an installed `openai`.

    It uses no types of its own, so that Node.js runs it as it stands (rule: docs).
    """
    try:
        program, modules = fetch.node(), fetch.npm_clients()
    except fetch.MissingServerError as error:
        absent("node", error)
    (snippet,) = snippets("typescript")
    (tmp_path / "node_modules").symlink_to(modules)
    file = tmp_path / "snippet.mjs"
    file.write_text(pasted(snippet, gateway))
    assert printed([str(program), str(file)], tmp_path) == "Hello!"


def test_the_story_of_a_call_is_what_comes(gateway: RunningGateway) -> None:
    """Member by member, but for ids, times and the place in the log (rule: docs)."""

    def lasting(story: dict[str, Any]) -> Any:
        story["attempts"][0]["duration_ms"] = 0
        first = story["events"][0]["position"]
        for event in story["events"]:
            event["position"] -= first
        return json.loads(CHANGING.sub("…", json.dumps(story)))

    block = re.search(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert block
    user = gateway.user()
    came = gateway.story(user, gateway.chat(user, HELLO))
    assert lasting(json.loads(block[1])) == lasting(came)


def test_the_endpoints_are_those_that_are_served() -> None:
    """What is called served is; what is coming is not yet (rule: docs)."""
    said = dict(re.findall(r"^\| `POST (/v1/[^`]+)`[^|]*\| (served|coming)", README, re.MULTILINE))
    served = {path for path, state in said.items() if state == "served"}
    assert served == {route.path for route in ROUTES}
    assert not (set(said) - served) & {route.path for route in ROUTES}


def test_the_figures_are_those_of_the_benchmarks() -> None:
    """Each row of figures stands in bench/results.md (rule: docs)."""
    results = (ROOT / "bench/results.md").read_text()
    rows = re.findall(
        r"^\| ((?:gateway|ledger), [^|]+) \| ([\d,]+) \| ([\d.]+) ms \| ([\d.]+) ms \|$",
        README,
        re.MULTILINE,
    )
    assert rows
    for row in rows:
        assert f"| {' | '.join(row)} |" in results, row
