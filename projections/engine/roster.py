"""The runners of one host: which can work now, and when to look again at those that cannot.

What stops one projection (another owner, a rebuild, a Redis that is away, whatever nobody
foresaw) must not stop the others; a lost database stops all, and is the host's to handle.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from projections.engine.runner import ProjectionOwnedElsewhereError, Runner
from projections.engine.sinks.port import ProjectionMovedError, SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Connection = psycopg.Connection[Any]

logger = logging.getLogger("gatewayz.projections")

UNAVAILABLE_RETRY_S = 5.0
MOVED_RETRY_S = 0.5
RECHECK_S = 5.0
"""Time between looks whether Redis still has what was stored there."""


class Roster:
    """The runners, all absent at first."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        """Nothing is read before `look`."""
        self.runners = list(runners)
        self._absent: dict[Runner, float] = dict.fromkeys(self.runners, 0.0)
        self._missed: set[Runner] = set()
        self._recheck_at = 0.0
        self.cancelled = False
        """Whether a statement was cancelled because it took too long."""

    @property
    def going(self) -> list[Runner]:
        """Those that can work now."""
        return [each for each in self.runners if each not in self._absent]

    def forget(self) -> None:
        """Look at all anew: what was stored last is not known."""
        self._absent = dict.fromkeys(self.runners, 0.0)

    def bar(self, runner: Runner) -> None:
        """Leave a runner alone for a while."""
        self._absent[runner] = time.monotonic() + UNAVAILABLE_RETRY_S

    def look(self, connection: Connection) -> list[Runner]:
        """Look again at the absent ones; returns those that are back and may have missed events."""
        now, back = time.monotonic(), list[Runner]()
        for runner, again in list(self._absent.items()):
            if now >= again:
                del self._absent[runner]
                self.do(connection, runner, runner.open)
                if runner in self._missed and runner not in self._absent:
                    self._missed.discard(runner)
                    back.append(runner)
        if now >= self._recheck_at:
            self._recheck_at = now + RECHECK_S
            back += [each for each in self.going if self.do(connection, each, each.recheck)]
        return back

    def do(
        self,
        connection: Connection,
        runner: Runner,
        work: Callable[..., Any],
        *values: Any,
        **named: Any,
    ) -> Any:
        """Do the work of one runner; None when it could not be done, and the runner is absent."""
        wait_s = UNAVAILABLE_RETRY_S
        try:
            return work(connection, *values, **named)
        except ProjectionOwnedElsewhereError as error:
            logger.info("%s", error)
        except SinkUnavailableError as error:
            logger.warning("%s", error)
        except ProjectionMovedError as error:
            # Rebuilt and switched, most likely: look at once where it stands now.
            logger.info("%s", error)
            wait_s = MOVED_RETRY_S
        except Exception as error:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                raise  # The connection is lost, or in no state to go on with.
            name = runner.projection.name
            # A full disk or a statement's time-out says enough in one line; a defect does not.
            told = not isinstance(error, psycopg.OperationalError)
            self.cancelled |= isinstance(error, psycopg.errors.QueryCanceled)
            logger.error("projection %s is put off: %s", name, error, exc_info=told)  # noqa: TRY400
        self._absent[runner] = time.monotonic() + wait_s
        self._missed.add(runner)
        return None
