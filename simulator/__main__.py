"""The command line: ``python -m simulator --keys-file F …``; see ``--help``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator import history, server
from simulator.errors import SimulatorError
from simulator.population import Population
from simulator.records import RecordLog
from simulator.replay import Replay
from simulator.timeline import Timeline, wall_clock
from simulator.tokens import PLAINTEXTS, Sealer

DEFAULT_DAYS = 35


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until the work is done or a signal comes; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    try:
        sealer = Sealer.from_file(options.keys_file, options.plaintext)
        zone = _zone(options.time_zone or ("UTC" if options.replay else "Asia/Seoul"))
        if options.replay:
            return _serve(options, sealer, _replay(options.replay, zone))
        clock = _clock(options.until)
        start = options.start or _default_start(zone, clock)
        population = Population(options.seed, start, options.users)
        timeline = Timeline(population, start, zone, clock)
        if options.history:
            return _write_history(options, timeline, sealer, start)
        return _serve(options, sealer, timeline)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=server.__doc__)
    parser.add_argument(
        "--keys-file",
        type=Path,
        required=True,
        help="Fernet keys, one per line; the first encrypts",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--start",
        type=_date,
        help=f"first day of the population; give it, or a restart on another day serves other "
        f"records under the same ids (default: {DEFAULT_DAYS} days ago)",
    )
    parser.add_argument(
        "--until", type=_instant, help="freeze the clock at this instant, such as 2026-01-31T12:00Z"
    )
    parser.add_argument(
        "--users",
        type=_positive,
        default=2_400,
        help="how many are active in 28 days; each makes about 1.2 records a day",
    )
    parser.add_argument("--plaintext", choices=PLAINTEXTS, default="repr")
    parser.add_argument(
        "--time-zone", help="of the wall clock (default: Asia/Seoul; with --replay UTC)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 is for containers")
    parser.add_argument("--port", type=int, default=4567)
    parser.add_argument(
        "--window", type=_positive, default=1_000, help="records in an answer without a cursor"
    )
    parser.add_argument(
        "--history", type=_positive, metavar="DAYS", help="write dumps and serve nothing"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where --history writes")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="serve an access log instead of a population"
    )
    return parser


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if (options.history is None) != (options.out is None):
        parser.error("--history DAYS and --out DIR need each other")
    if options.replay and (options.history or options.start or options.until):
        parser.error("--replay has no clock: leave out --history, --start and --until")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-01-31") from None


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an instant with an offset, like 2026-01-31T12:00:00Z"
        )
    return instant


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SimulatorError(f"There is no time zone {name}; use an IANA name.") from None


def _clock(until: datetime | None) -> Callable[[], int]:
    if until is None:
        return wall_clock
    frozen_ms = int(until.timestamp() * 1000)
    return lambda: frozen_ms


def _default_start(zone: ZoneInfo, clock: Callable[[], int]) -> date:
    today = datetime.fromtimestamp(clock() / 1000, UTC).astimezone(zone).date()
    start = today - timedelta(days=DEFAULT_DAYS)
    print(
        f"simulator: no --start, so the first day is {start}; pass --start {start} to get the same "
        "records after a restart",
        file=sys.stderr,
    )
    return start


def _replay(path: Path, zone: ZoneInfo) -> Replay:
    replay = Replay.read(path, zone)
    if replay.malformed:
        first = ", ".join(map(str, replay.malformed[:5]))
        print(
            f"simulator: {len(replay.malformed)} line(s) of {path} are no access log lines and are "
            f"not served; the first: {first}",
            file=sys.stderr,
        )
    return replay


def _write_history(
    options: argparse.Namespace, timeline: Timeline, sealer: Sealer, start: date
) -> int:
    def progress(path: Path, records: int) -> None:
        print(f"simulator: wrote file={path.name} records={records}", flush=True)

    records = history.write(timeline, sealer, start, options.history, options.out, progress)
    print(f"simulator: history days={options.history} records={records} out={options.out}")
    return 0


def _serve(options: argparse.Namespace, sealer: Sealer, log: RecordLog) -> int:
    api = server.Api(log, sealer, options.window)
    with server.listen(api, options.host, options.port) as http:
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        host, port = http.server_address[:2]
        print(f"simulator: ready url=http://{host!s}:{port}{server.LOG_PATH}", flush=True)
        try:
            http.serve_forever(poll_interval=0.1)
        except _Stopped:
            print("simulator: stopped", flush=True)
    return 0


class _Stopped(Exception):
    """A signal asked for the end."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main())
