"""``python -m local_aws --data DIR --port N``: serve one folder as AWS until told to stop."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from local_aws.app import App
from local_aws.athena import Athena
from local_aws.glue import Catalog
from local_aws.store import Store, StoreError

_LOOPBACK = "127.0.0.1"
"""The default, because whoever reaches the port may read and write everything."""

logger = logging.getLogger("local_aws")


class _Server(uvicorn.Server):
    """Says when it is ready, in one line that a script can wait for."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the server; 0 after a clean stop, 1 when it cannot start."""
    options = _options(arguments)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    # uvicorn repeats a signal once it has stopped; as an exception it lets us close the store.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        listener = _listen(options.host, options.port)
        with listener:
            store = Store(options.data)
            try:
                _serve(store, listener, log_sql=options.log_sql)
            finally:
                store.close()
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # a clean stop: everything is closed by now
    return 0


def _serve(store: Store, listener: socket.socket, *, log_sql: bool) -> None:
    catalog = Catalog(store)
    athena = Athena(store, catalog, log_sql=log_sql)
    config = uvicorn.Config(
        App(store, catalog, athena),
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        lifespan="on",
        ws="none",
        # Clients keep connections in a pool; closing under them costs them a retry.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    host, port = listener.getsockname()
    if host != _LOOPBACK:
        logger.warning("listening on %s: everybody who reaches this port may do everything", host)
    line = f"local_aws is ready on http://{host}:{port} (data in {store.root}; Ctrl-C stops it)"
    try:
        _Server(config, line).run(sockets=[listener])
    finally:
        athena.close()


def _listen(host: str, port: int) -> socket.socket:
    # Naming the protocol makes asyncio set TCP_NODELAY; without it each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A restart may take the port of connections that are still winding down.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"Port {port} on {host} cannot be used ({reason}); stop what uses it, or choose "
            "another with --port."
        ) from error
    return listener


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_aws",
        description="S3, Glue, Athena and Secrets Manager on one folder of this laptop.",
        epilog="Point clients at it with AWS_ENDPOINT_URL=http://127.0.0.1:PORT and any keys.",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="where everything is kept"
    )
    parser.add_argument(
        "--port", type=int, default=4566, metavar="N", help="default 4566; 0 takes a free one"
    )
    parser.add_argument(
        "--host",
        default=_LOOPBACK,
        metavar="ADDRESS",
        help="default 127.0.0.1; another one is meant for the inside of a container only",
    )
    parser.add_argument(
        "--log-sql", action="store_true", help="log each query with the SQL that ran for it"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
