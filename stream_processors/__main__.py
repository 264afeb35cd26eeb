"""`python -m stream_processors`: what `gatewayz worker` becomes."""

from __future__ import annotations

import gc
import logging
import time

from faust import Worker

from event_store.relay.kafka import require_broker
from event_store.relay.relay import ProducerError
from stream_processors.app import make_app
from stream_processors.config import read_config

logger = logging.getLogger("gatewayz.worker")

GC_THRESHOLD = 200_000
BROKER_RETRY_S = 1.0


def await_broker(bootstrap: str) -> None:
    """Wait until a broker accepts connections: Faust gives up at its start, and only there."""
    while True:
        try:
            require_broker(bootstrap)
        except ProducerError as error:
            logger.warning("%s yet", error)
            time.sleep(BROKER_RETRY_S)
        else:
            return


def main() -> None:
    """Run one worker until SIGINT or SIGTERM."""
    config = read_config()
    logging.basicConfig(
        level=config.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    await_broker(config.bootstrap)
    # Batches are many small objects without cycles: let the collector look at them seldom.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
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
