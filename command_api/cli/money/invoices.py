"""The verb that lays a provider's invoice beside what its calls cost on record."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time.
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command_api.cli.base import (
    MISTAKE,
    NOT_CHECKED,
    Home,
    Json,
    Shown,
    fail,
    opened_to_read,
    progress_bar,
    show,
    shown_of,
)
from command_api.composition import registry_of
from command_api.invoices.reconcile import compare, usd
from domain.errors import InvalidAmountError
from domain.pricing.money import EXACT, format_usd, parse_usd
from providers.invoices.formats import FORMATS
from providers.invoices.reading import InvoiceError, read_invoice

if TYPE_CHECKING:
    from command_api.invoices.reconcile import Compared
    from providers.invoices.reading import Invoice

PROVIDER_CHARACTERS_MAX = 100


def provider_(
    name: Annotated[str, typer.Argument(help="The provider, as calls name it.")],
    file: Annotated[
        Path, typer.Option("--file", help="Its CSV export: OpenRouter's, OpenAI's, Anthropic's.")
    ],
    tolerance: Annotated[
        str | None,
        typer.Option(help="USD by which a day and model may differ; else the setting."),
    ] = None,
    limit: Shown = 1_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List each day and model whose provider cost does not match an invoice; it makes no entry.

    Exit 1 where there is one, 3 where it cannot be checked.
    """
    if not 0 < len(name) <= PROVIDER_CHARACTERS_MAX:
        fail(f"a provider's name has at most {PROVIDER_CHARACTERS_MAX} characters")
    try:
        given = None if tolerance is None else parse_usd(tolerance)
        invoice = read_invoice(file)
    except InvalidAmountError as error:
        fail(f"--tolerance: {error}")
    except (InvoiceError, OSError) as error:
        fail(str(error), NOT_CHECKED)
    if name != invoice.format and name in {each.name for each in FORMATS}:
        fail(f"this is an export of {invoice.format}, and not of {name}", NOT_CHECKED)
    with opened_to_read(home) as (settings, database):
        registry = registry_of(settings)
        within = parse_usd(settings.reads.invoice_tolerance_usd) if given is None else given
        try:
            with progress_bar("reading the log", quiet=as_json) as report:
                found = compare(database, name, invoice, within, report)
        except InvoiceError as error:
            fail(str(error), NOT_CHECKED)
    if not found.on_record and name not in {*registry.providers, *registry.unconfigured}:
        fail(
            f"there is no provider {name!r}, and no call was made at one of this name", NOT_CHECKED
        )
    _print(name, invoice, found, within, limit, as_json=as_json)
    if found.lines or invoice.faulty:
        raise typer.Exit(MISTAKE)


def _print(
    name: str, invoice: Invoice, found: Compared, within: int, limit: int, *, as_json: bool
) -> None:
    first, last = found.days
    values: dict[str, Any] = {
        "ok": not (found.lines or invoice.faulty),
        "provider": name,
        "format": invoice.format,
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "rows": invoice.rows,
        "blank_rows": invoice.blank,
        "faulty_rows": invoice.faulty,
        "by_model": invoice.by_model,
        "matched": found.matched,
        "unmatched": found.why,
        "tolerance_usd": format_usd(within),
        "invoiced_usd": usd(found.invoiced),
        "on_record_usd": usd(found.on_record),
        "difference_usd": usd(EXACT.subtract(found.invoiced, found.on_record)),
    }
    lines = shown_of(found.lines, limit)
    if as_json:
        show({**values, "lines": [each._asdict() for each in lines]}, as_json=True)
        return
    values["unmatched"] = "  ".join(f"{why}={count}" for why, count in found.why.items()) or "none"
    show(values, as_json=False)
    for each in lines:
        about = f"line {each.line}" if each.line else f"{each.day} {each.model}"
        sums = f" (invoice {each.invoiced_usd}, on record {each.on_record_usd} USD)"
        sys.stdout.write(
            f"UNMATCHED  {each.why}  {about}: {each.said}{'' if each.line else sums}\n"
            f"           {each.proposal}\n"
        )
