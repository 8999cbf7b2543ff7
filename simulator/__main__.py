"""The command line: ``python -m simulator --keys-file F …``; see ``--help``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator import faults, history, server
from simulator.errors import SimulatorError
from simulator.faults import Faults
from simulator.population import Population
from simulator.records import Record, RecordLog
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
        wanted = _faults(options)
        needed = wanted.needs if wanted else ()
        sealer = Sealer.from_file(options.keys_file, options.plaintext, needed)
        zone = _zone(options.time_zone or ("UTC" if options.replay else "Asia/Seoul"))
        if options.replay:
            return _serve(options, sealer, _replay(options.replay, zone), wanted)
        clock = _clock(options.until)
        start = options.start or _default_start(zone, clock)
        population = Population(options.seed, start, options.users)
        timeline = Timeline(population, start, zone, clock)
        if options.history:
            return _write_history(options, timeline, sealer, start, wanted)
        return _serve(options, sealer, timeline, wanted)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=server.__doc__)
    parser.add_argument(
        "--keys-file",
        type=Path,
        required=True,
        help="Fernet keys, one per line, of which the first encrypts; or a JSON key ring. "
        "A changed file is read again",
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
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the bearer token that clients then have to show",
    )
    _add_faults(parser.add_argument_group("what goes wrong"))
    return parser


def _add_faults(group: Any) -> None:
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[=RATE]",
        help="hurt this share of the records or requests; repeat it for more faults",
    )
    group.add_argument(
        "--fault-seed", type=int, default=7, help="which records and requests are hurt"
    )
    group.add_argument(
        "--fault-requests", type=_positive, default=5, help="how many an outage lasts (default: 5)"
    )
    group.add_argument(
        "--fault-seconds", type=_seconds, default=10.0, help="how long a hang lasts (default: 10)"
    )
    group.add_argument(
        "--list-faults", action=_ListFaults, nargs=0, help="print every NAME and what it does"
    )


class _ListFaults(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(faults.listing())
        parser.exit()


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


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0, at most a day")
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


def _faults(options: argparse.Namespace) -> Faults | None:
    if not options.fault:
        return None
    wanted = Faults.parse(
        options.fault,
        options.fault_seed,
        requests=options.fault_requests,
        seconds=options.fault_seconds,
    )
    if options.history and wanted.of_http:
        raise SimulatorError(
            f"--history writes files, and a file cannot commit {', '.join(wanted.of_http)}; with "
            "--history only faults of records make sense."
        )
    return wanted


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SimulatorError(f"Cannot read the bearer token's file {path}.") from None
    if not token or not token.isprintable():
        raise SimulatorError(f"The file {path} must hold one line: the bearer token.")
    return token


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
    options: argparse.Namespace,
    timeline: Timeline,
    sealer: Sealer,
    start: date,
    wanted: Faults | None,
) -> int:
    def envelopes(records: Sequence[Record]) -> list[Any]:
        return wanted.envelopes(sealer, records) if wanted else sealer.envelopes(records)

    def progress(path: Path, records: int) -> None:
        print(f"simulator: wrote file={path.name} records={records}", flush=True)

    records = history.write(timeline, envelopes, start, options.history, options.out, progress)
    print(f"simulator: history days={options.history} records={records} out={options.out}")
    return 0


def _serve(
    options: argparse.Namespace, sealer: Sealer, log: RecordLog, wanted: Faults | None
) -> int:
    api = server.Api(log, sealer, options.window, _token(options.token_file), wanted)
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


class _Stopped(BaseException):
    """A signal asked for the end; http.server keeps plain exceptions of a request to itself."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main())
