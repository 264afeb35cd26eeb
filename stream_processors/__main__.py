"""`python -m stream_processors`: what `gatewayz worker` becomes."""

from __future__ import annotations

import logging

from faust import Worker

from stream_processors.app import make_app
from stream_processors.config import read_config


def main() -> None:
    """Run one worker until SIGINT or SIGTERM."""
    config = read_config()
    app = make_app(config)
    worker = Worker(app, loglevel=config.log_level, quiet=True, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    finally:
        app.host.stop()
        app.pool.shutdown(wait=False, cancel_futures=True)
        logging.shutdown()


if __name__ == "__main__":
    main()
