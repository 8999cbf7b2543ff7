"""The worker with a decoder that marked records kill; tests run it in the worker's place.

A record is marked by a member of its envelope, so that its token stays what it is.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from ingestion import records, worker

MAIN = "from tests.ingestion import killers; killers.main()"
SHOUT = "canary-of-a-plaintext"


def _loop() -> None:
    while True:
        pass


def _shout() -> None:
    sys.stdout.write(SHOUT)
    sys.stdout.flush()
    raise RuntimeError(SHOUT)


WAYS: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "leave": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "loop": _loop,
    "sleep": lambda: time.sleep(600),
    "memory": lambda: bytearray(2**30),
    "arrow": lambda: pa.allocate_buffer(2**30),
    "file": lambda: Path("/dev/null").read_bytes(),
    "shout": _shout,
}


def main() -> None:
    decode = records.decode

    def decode_or_die(envelope: object, rules: records.Rules, fetched_at: int) -> object:
        if isinstance(envelope, dict) and envelope.get("kill") in WAYS:
            WAYS[envelope["kill"]]()
        return decode(envelope, rules, fetched_at)

    records.decode = decode_or_die
    worker.main()


def lie() -> None:
    """Answer with a row less than there are."""
    answer = worker._answer

    def shortened(derived: records.Derived) -> object:
        head, blob = answer(derived)
        return head | {"reasons": {}}, blob

    worker._answer = shortened
    worker._prove = lambda: None
    worker.main()
