"""A web server's access log (Common or Combined Log Format) as records of the log API.

| record      | access log                                                              |
| ----------- | ----------------------------------------------------------------------- |
| user        | client address                                                          |
| record_id   | line number, from 1                                                     |
| activity    | GET, HEAD and others: view; PUT, PATCH, DELETE: cart; POST: purchase     |
| url, method | the request line                                                        |
| time        | the line's instant, on the wall clock of the declared zone              |
| level       | status 5xx: ERROR, 4xx: WARNING, else INFO                              |
| message     | method and status                                                       |
"""

from __future__ import annotations

import bisect
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from simulator.errors import SimulatorError
from simulator.records import Record

_LINE = re.compile(
    r"(?P<address>\S+) \S+ .*?\[(?P<time>[^\]]+)\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>[1-5]\d\d) (?:\d+|-)(?: |$)'
)

_TIME_FORMAT = "%d/%b/%Y:%H:%M:%S %z"

ACTIVITIES = {"POST": "purchase", "PUT": "cart", "PATCH": "cart", "DELETE": "cart"}


class Replay:
    """All records of an access log, visible at once."""

    def __init__(self, records: list[Record], malformed: list[int]) -> None:
        self.malformed = malformed
        """Numbers of the lines that are no access log lines; no record has these ids."""
        self._records = records

    @classmethod
    def read(cls, path: Path, zone: ZoneInfo) -> Replay:
        """Read a log; lines keep their order and their number."""
        try:
            # surrogateescape would not survive JSON; a log with Latin-1 bytes must not stop us.
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise SimulatorError(f"Cannot read the access log {path}: {error.strerror}.") from error
        if lines[-1] == "":
            lines.pop()
        records = []
        malformed = []
        for number, line in enumerate(lines, start=1):
            record = _parse(number, line.rstrip("\r"), zone)
            if record is None:
                malformed.append(number)
            else:
                records.append(record)
        if not records:
            raise SimulatorError(
                f"The access log {path} has no line in Common or Combined Log Format."
            )
        return cls(records, malformed)

    def latest(self, count: int) -> list[Record]:
        """Return the last ``count`` records, in the order of the lines."""
        return self._records[-count:]

    def after(self, record_id: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records of later lines."""
        begin = bisect.bisect_right(self._records, record_id, key=lambda record: record.record_id)
        return self._records[begin : begin + limit]


def _parse(number: int, line: str, zone: ZoneInfo) -> Record | None:
    match = _LINE.match(line)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match["time"], _TIME_FORMAT).astimezone(zone)
    except (ValueError, OverflowError):
        return None
    wall_ms = int(moment.replace(tzinfo=UTC).timestamp()) * 1000
    # A client that sends nothing is logged as "-": it was there, so it stays.
    method, _, target = match["request"].partition(" ")
    url = re.sub(r" HTTP/[\d.]+$", "", target)
    status = int(match["status"])
    return Record(
        record_id=number,
        occurred_wall_ms=wall_ms,
        arrived_wall_ms=wall_ms,
        user=match["address"],
        activity=ACTIVITIES.get(method, "view"),
        url=url or "-",
        method=method,
        level="ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO",
        message=f"{method} {status}",
    )
