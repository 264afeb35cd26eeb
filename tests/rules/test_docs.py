"""The book says what the code does: settings, routes, events, verbs, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from starlette.routing import Route

from command_api.cli.main import app as cli
from command_api.identity.vault import Vault
from command_api.serving.app import ROUTERS, make_app
from command_api.settings import Settings
from domain.ledger.holds import HoldMove, HoldState
from tests.rules import errors_page, reference
from tests.support.history import SECRET

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    """Settings, events, metrics, errors, read models: `make reference` writes them (rule: docs)."""
    assert (ROOT / name).read_text() == reference.page(name)


def test_a_generated_part_stands_where_its_page_wants_it(tmp_path: Path) -> None:
    """Between its marks, and nothing else of the page is touched (rule: docs)."""
    before = "# A\n\nby hand\n\n<!-- made: x -->\nold\n<!-- end -->\n\nby hand too\n"
    after = reference.filled(before, {"x": "new\n\nlines"})
    assert after == before.replace("old", "new\n\nlines")
    assert reference.filled(after, {"x": "new\n\nlines"}) == after
    with pytest.raises(ValueError, match="made: y"):
        reference.filled(before, {"y": "new"})


def test_every_error_has_an_entry_and_every_entry_an_error() -> None:
    """A new code says what it means and what cures it (rule: docs)."""
    assert set(errors_page.MEANINGS) == set(errors_page.collect())


def test_a_code_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error whose code is computed would be missing from the page (rule: docs)."""
    (tmp_path / "edge").mkdir()
    source = tmp_path / "edge/new.py"
    monkeypatch.setattr(errors_page, "ROOT", tmp_path)
    source.write_text('def f():\n    raise bad_request("brand_new", "x")\n')
    assert "brand_new" in errors_page.collect()
    source.write_text("def f(code):\n    raise ApiError(400, code, 'x')\n")
    with pytest.raises(errors_page.UnreadableError, match=r"edge/new\.py:2"):
        errors_page.collect()


def test_routes_are_documented(server: Database, tmp_path: Path) -> None:
    """Each route that is served, and none that is not (rule: docs)."""
    routes = list(make_app(Settings(home=tmp_path), server, Vault(SECRET)).routes)
    routes += [route for router in ROUTERS for route in router.routes]
    served = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route) and not route.path.startswith(("/docs", "/redoc", "/openapi"))
        for method in (route.methods or set()) - {"HEAD"}
    }
    served = {(method, path.replace(":path", "")) for method, path in served}
    rows = re.findall(
        r"^\| (GET|POST|PUT|DELETE|PATCH) \| `([^`]+)` \|",
        (DOCS / "reference/routes.md").read_text(),
        re.MULTILINE,
    )
    assert set(rows) == served


def test_verbs_are_documented() -> None:
    """Each verb of the command line (rule: docs)."""
    text = (DOCS / "reference/cli.md").read_text()

    def verbs(command: object, path: str) -> list[str]:
        children = getattr(command, "commands", None)
        if not children:
            return [path]
        return [name for key, each in children.items() for name in verbs(each, f"{path} {key}")]

    for verb in verbs(typer.main.get_command(cli), "gatewayz"):
        assert f"`{verb}" in text, verb


def test_the_picture_of_a_hold_names_every_state() -> None:
    """The diagram in the book has the states and moves of the table (rule: docs)."""
    text = (DOCS / "concepts/ledger.md").read_text()
    for state in HoldState:
        assert state == HoldState.REFUSED or state in text
    for move in HoldMove:
        assert move in {HoldMove.REFUSE, HoldMove.BOOK_LATE} or move in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the book (rule: docs)."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_provider_example_of_the_book_works(tmp_path: Path) -> None:
    """The TOML in the guide is accepted as it stands (rule: docs)."""
    from providers.inference.registry.providers_file import read_providers_file

    text = (DOCS / "guides/providers.md").read_text()
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example
    file = tmp_path / "p.toml"
    file.write_text(example[1])
    assert read_providers_file(file).provider[0].model[0]["id"] == "small"


def test_the_table_of_prices_has_every_term() -> None:
    """And none that is no term (rule: docs)."""
    from domain.pricing.terms import ABOVE, AT_TIER, EXTRA, TOKEN_TERMS, UNIT_TERMS
    from domain.pricing.uses import USE_OF_TERM

    text = (DOCS / "guides/providers.md").read_text()
    table = text.partition("### All price terms")[2].partition("**Service tiers.**")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    families = {f"…{ABOVE}N", f"…{AT_TIER}TIER", f"{EXTRA}NAME"}
    assert told == {*TOKEN_TERMS, *UNIT_TERMS, *USE_OF_TERM, *families}


TYPED = re.compile(r"(?:^|`)(gatewayz [^`\n#|]+)", re.MULTILINE)
"""A command as a page tells it, in a code span or at the start of a line of a block."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_book_exist(page: Path) -> None:
    """Each `gatewayz ...` that a page tells to type has its verb and its options (rule: docs)."""
    for typed in TYPED.findall(page.read_text()):
        command: Any = typer.main.get_command(cli)
        words = typed.split()[1:]
        while getattr(command, "commands", None) and words:
            verbs = command.commands
            names = words.pop(0)
            if names in {"|", "…", "..."}:
                break
            assert names in verbs, typed
            command = verbs[names]
        options = {name for each in command.params for name in each.opts}
        for word in words:
            if word == "--":
                break  # The rest is another program's.
            name = word.strip("[]").partition("=")[0]
            assert not name.startswith("--") or name in options, typed


def test_log_lines_of_the_runbooks_exist() -> None:
    """What a runbook quotes from the log is what the source writes (rule: docs)."""
    source = "".join(
        path.read_text()
        for side in ("command_api", "event_store", "projections", "providers")
        for path in (ROOT / side).rglob("*.py")
    )
    quoted = [
        line
        for page in (DOCS / "operating").glob("*.md")
        for line in re.findall(r"log: `([^`]+)`", page.read_text())
    ]
    assert len(quoted) > 5
    for line in quoted:
        assert line in source, line


PATHS = re.compile(
    r"`((?:domain|event_store|providers|projections|stream_processors|edge|command_api|query_api"
    r"|tests|bench|docs)/[\w./-]*)`"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_book_exist(page: Path) -> None:
    """Each file or folder of ours that a page names, but for what it only imagines (rule: docs)."""
    text = page.read_text()
    if page.name == "rooms.md":
        text = text.partition("## Where a new capability goes")[0]
    for path in PATHS.findall(text):
        assert (ROOT / path).exists(), path
