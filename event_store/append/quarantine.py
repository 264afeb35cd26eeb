"""Where files of the spool go that are no outcomes: beside, for a person to look at."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from event_store.append.outcome_files import QUARANTINE

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("gatewayz.spool")


class Quarantine:
    """Puts files aside, and says so."""

    def __init__(self) -> None:
        """Remembers what it said."""
        self._left: set[Path] = set()

    def put(self, file: Path, why: object) -> None:
        """Put a file aside, under a name of its own; nothing is ever deleted."""
        folder = file.parent / QUARANTINE
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            target = folder / file.name
            while target.exists():
                target = folder / f"{file.name}.{time.time_ns()}"
            file.rename(target)
        except FileNotFoundError:
            return
        except OSError as error:
            self.leave(file, f"{why}; it cannot be moved: {error}")
        else:
            logger.error("%s is in quarantine, its call is unresolved: %s", target, why)

    def leave(self, file: Path, why: object) -> None:
        """Say once what is wrong with a file that stays where it is."""
        if file not in self._left:
            self._left.add(file)
            logger.error("%s stays in the spool: %s", file, why)
