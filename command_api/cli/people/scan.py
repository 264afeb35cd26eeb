"""The verb that looks for leaked keys, offline."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from command_api.cli.base import MISTAKE, NOT_CHECKED, Json, show
from command_api.identity.leaks import files_below, leaks_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO


def key_scan(
    paths: Annotated[list[str], typer.Argument(help="Files and folders; - is standard input.")],
    unchecked: Annotated[
        bool, typer.Option(help="Also what has the form of a key and a wrong checksum.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for leaked keys in files, offline; never prints one.

    Exit 1 where there is any, 3 where something could not be read.
    """
    status = 0
    for file, opened_file in _opened(paths):
        try:
            with opened_file() as stream:
                for leak in leaks_in(stream):
                    if not leak.checked and not unchecked:
                        continue
                    status = status or MISTAKE
                    if as_json:
                        show({"file": file, **asdict(leak)}, as_json=True)
                    else:
                        doubt = "" if leak.checked else " (its checksum is wrong)"
                        sys.stdout.write(f"{file}:{leak.line}: {leak.masked}{doubt}\n")
        except OSError as error:
            sys.stderr.write(f"gatewayz: {file} cannot be read: {error.strerror}\n")
            status = NOT_CHECKED
    raise typer.Exit(status)


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _opened(
    paths: list[str],
) -> Iterator[tuple[str, Callable[[], AbstractContextManager[BinaryIO]]]]:
    """What to look through, by name, and how it is opened; folders that cannot be are told."""
    for path in paths:
        if path == "-":
            yield path, lambda: nullcontext(sys.stdin.buffer)
            continue
        for file in files_below(Path(path)):
            yield str(file), partial(_open, file)
