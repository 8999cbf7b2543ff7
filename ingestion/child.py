"""A child process that is asked in frames: started clean, watched by the clock, ended for sure."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import zoneinfo
from collections.abc import Iterable
from pathlib import Path

from ingestion.errors import WorkerUnavailable
from ingestion.worker import FRAME

START_SECONDS = 60
"""To import Arrow and to decode one record: 0.2 s on an idle machine."""

_ERROR_CHARACTERS = 400
_END_SECONDS = 10
_PIPE_BYTES = 1 << 20


class Died(Exception):
    """The child ended or did not end in time; carries how, in words of ours."""


class Child:
    """A child that has said that it is ready."""

    def __init__(self, program: str) -> None:
        """Run a program and wait until it is ready.

        Raises:
            WorkerUnavailable: if it does not come so far.
        """
        package = Path(__file__).parent
        path = [str(package.parent), *(str(Path(entry).absolute()) for entry in sys.path if entry)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, str(package)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Nothing of ours: it holds secrets, and addresses that nobody needs for decoding.
                env={
                    "PYTHONPATH": os.pathsep.join(path),
                    "PYTHONTZPATH": os.pathsep.join(zoneinfo.TZPATH),
                    # Others reserve a gigabyte of addresses at once, so a limit says nothing.
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                    # Its siblings have the other cores, and every thread takes addresses.
                    "OMP_NUM_THREADS": "1",
                },
            )
        except OSError as error:
            raise WorkerUnavailable(
                f"Cannot start the process that decodes records: {error.strerror}. Look at the "
                "machine's memory and process limits, then run again."
            ) from None
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        try:
            self._frame(time.monotonic() + START_SECONDS, 100)
        except Died as death:
            # It has not seen a record yet, so what it says quotes none.
            said = self._last_line()
            self.close()
            raise WorkerUnavailable(
                f"The process that decodes records did not start ({death}){said}. Look at the "
                "machine's memory and process limits, then run again."
            ) from None
        except BaseException:
            self.close()
            raise
        assert self._process.stderr is not None
        self._process.stderr.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, frames: Iterable[bytes], seconds: float, most: int) -> tuple[bytes, bytes]:
        """Return the answer to one request.

        Raises:
            Died: if there is none in time.
        """
        deadline = time.monotonic() + seconds
        for frame in frames:
            self._send(FRAME.pack(len(frame)), deadline)
            self._send(frame, deadline)
        return self._frame(deadline, most), self._frame(deadline, most)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it; whoever waits for its answer finds it dead."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of its pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _send(self, content: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        rest = memoryview(content)
        while rest:
            self._await(pipe, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Died(self._how()) from None

    def _frame(self, deadline: float, most: int) -> bytes:
        size = FRAME.unpack(self._receive(FRAME.size, deadline))[0]
        if size > most:
            raise Died("an answer that is none")
        return self._receive(size, deadline)

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        chunks = []
        while size:
            self._await(pipe, select.POLLIN, deadline)
            try:
                chunk = os.read(pipe, min(size, _PIPE_BYTES))
            except BlockingIOError:
                continue
            if not chunk:
                raise Died(self._how())
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def _await(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1_000):
            raise Died("time")

    def _how(self) -> str:
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed pipe"
        return f"exit {status}" if status >= 0 else signal.Signals(-status).name

    def _last_line(self) -> str:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            lines = os.read(self._process.stderr.fileno(), 2**16).decode("utf-8", "replace")
            if lines.strip():
                return f": {lines.strip().splitlines()[-1][:_ERROR_CHARACTERS]}"
        return ""
