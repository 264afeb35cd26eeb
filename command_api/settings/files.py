"""How many files a process may have open, and how many connections that leaves room for."""

from __future__ import annotations

import logging
import resource
import sys
from contextlib import suppress

logger = logging.getLogger("gatewayz")

OWN_FILES = 96
"""What a serving process has open beside its calls: the database, the spool, what it listens on."""
FILES_OF_A_CALL = 2
"""The caller's connection, and one to a provider."""
CONNECTIONS_MIN = 8


def connections_with(asked: int) -> int:
    """How many of the asked connections there is room for, once as many files as may be are.

    Says so where it is less.
    """
    files = _raised(OWN_FILES + FILES_OF_A_CALL * asked)
    room = max((files - OWN_FILES) // FILES_OF_A_CALL, CONNECTIONS_MIN)
    if room < asked:
        logger.warning(
            "%d open files leave room for %d client connections, not for the %d of "
            "GATEWAYZ_CONNECTIONS_MAX: raise the hard limit (ulimit -Hn)",
            *(files, room, asked),
        )
    return min(room, asked)


def upstream_connections(asked: int) -> int:
    """How many connections to providers the files leave beside `asked` client connections.

    An idle one is a file as well: without a maximum those of one provider shut the others out.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    room = max((files - OWN_FILES) // FILES_OF_A_CALL, CONNECTIONS_MIN)
    return max(files - OWN_FILES - min(room, asked), CONNECTIONS_MIN)


def _raised(wanted: int) -> int:
    """Ask for as many files as the hard limit allows, and say how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):  # Some systems have a lower one of their own.
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
