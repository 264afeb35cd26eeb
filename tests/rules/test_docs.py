"""The book says what the code does: settings, routes, events, verbs, links."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import typer.main
from starlette.routing import Route

from command_api.cli.main import app as cli
from command_api.processes.relay import RelayMetrics
from command_api.serving.app import ROUTERS, make_app
from command_api.settings import Settings
from domain.events.all import EVENT_CLASSES
from domain.ledger.holds import HoldMove, HoldState
from domain.ledger.postings import CHART
from event_store.relay.relay import RelayStatus
from projections.all import PROJECTIONS
from stream_processors.app import WorkerMetrics
from stream_processors.host import ProjectionHost

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def settings_table() -> str:
    """The reference of settings, as it must stand in the book."""
    rows = ["| Variable | Default | What |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "–" if field.default is None else f"`{field.default}`"
        rows.append(f"| `GATEWAYZ_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def events_table() -> str:
    """The reference of events, as it must stand in the book."""
    parts = []
    for cls in EVENT_CLASSES:
        own = [item.name for item in fields(cls)]
        envelope = {"originator_id", "originator_version", "id", "effective_at"}
        envelope |= {"actor", "correlation_id", "causation_id"}
        names = ", ".join(f"`{name}`" for name in own if name not in envelope)
        said = " ".join((cls.__doc__ or "").split())
        schema = f"[schema](events/{cls.TOPIC}.schema.json)"
        parts.append(
            f"### `{cls.TOPIC}`\n\nStream `{cls.CATEGORY}-<uuid>`. {said}\n\n"
            f"Members: {names} ({schema})."
        )
    return "\n\n".join(parts)


def read_models_text() -> str:
    """The reference of read models, as it must stand in the book."""
    parts = []
    for projection in PROJECTIONS:
        kept = " Kept in Redis where there is one." if projection.in_redis else ""
        parts.append(f"## `{projection.name}`\n\n{projection.about}{kept}")
        for table in projection.tables:
            rows = ["| Column | Type | Merges by | What |", "|---|---|---|---|"]
            for each in table.columns:
                by = f"latest {each.by}" if each.merge == "latest" else each.merge
                rows.append(f"| `{each.name}` | {each.sql} | {by} | {each.about} |")
            age = f" Rows are kept for {table.keep_days} days." if table.keep_days else ""
            parts.append(f"### `{table.view}`\n\n{table.about}{age}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def metrics_table() -> str:
    """The reference of metrics, as it must stand in the book."""
    rows = ["| Metric | Type | Labels | What |", "|---|---|---|---|"]
    host = ProjectionHost(psycopg.connect, {}, 1)
    host.lag = dict  # type: ignore[method-assign]
    for collector in (RelayMetrics(RelayStatus()), WorkerMetrics(host)):
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = ", ".join(getattr(metric, "_labelnames", ()))
            rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(rows)


def chart_table() -> str:
    """The chart of accounts, as it must stand in the book."""
    rows = ["| Account | Kind | What |", "|---|---|---|"]
    rows += [f"| `{pattern}` | {kind} | {what} |" for pattern, kind, what in CHART]
    return "\n".join(rows)


def test_read_models_are_documented() -> None:
    """Each projection, table and column, and the chart of accounts, from the code (rule: docs)."""
    assert chart_table() in (DOCS / "reference/read-models.md").read_text()
    assert read_models_text() in (DOCS / "reference/read-models.md").read_text()


def test_metrics_are_documented() -> None:
    """Each metric that a process exports (rule: docs)."""
    assert metrics_table() in (DOCS / "reference/metrics.md").read_text()


def test_settings_are_documented() -> None:
    """Each setting with its default and meaning, word for word from the code (rule: docs)."""
    assert settings_table() in (DOCS / "reference/settings.md").read_text()


def test_events_are_documented() -> None:
    """Each event type with its stream and members (rule: docs)."""
    assert events_table() in (DOCS / "reference/events.md").read_text()


def test_routes_are_documented(server: Database, tmp_path: Path) -> None:
    """Each route that is served, and none that is not (rule: docs)."""
    routes = list(make_app(Settings(home=tmp_path), server).routes)
    routes += [route for router in ROUTERS for route in router.routes]
    served = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route) and not route.path.startswith(("/docs", "/redoc", "/openapi"))
        for method in (route.methods or set()) - {"HEAD"}
    }
    served = {(method, path.replace(":path", "")) for method, path in served}
    rows = re.findall(
        r"^\| (GET|POST) \| `([^`]+)` \|", (DOCS / "reference/routes.md").read_text(), re.MULTILINE
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
