"""`python -m tests.torture --seconds 600`: run, print the figures, exit 1 if one is bad."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.torture.run import Plan, shown, torture


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pause", type=float, default=Plan(0).pause_s, help="mean time between kills, s"
    )
    parser.add_argument("--callers", type=int, default=Plan(0).callers)
    parser.add_argument("--workers", type=int, default=Plan(0).workers)
    parser.add_argument("--kills", type=int, help="end early once so many were killed")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder that stays, for a look afterwards"
    )
    asked = parser.parse_args()
    plan = Plan(asked.seconds, asked.seed, asked.pause, asked.callers, asked.workers, asked.kills)
    if asked.keep:
        asked.keep.mkdir(parents=True)
        report = torture(asked.keep, plan)
    else:
        with tempfile.TemporaryDirectory(prefix="gatewayz-torture-") as folder:
            report = torture(Path(folder), plan)
    sys.stdout.write(shown(report) + "\n")
    sys.exit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
