"""Fuzzes the isolated derive: nothing escapes, hangs, is lost, doubled, or told to anybody.

Guided by coverage: an input whose refusal comes from a line, or whose row has a shape, that none
came to before, becomes a seed. ``python -m tests.chaos.fuzz 1000000`` runs it alone.
"""

import ast
import json
import logging
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ingestion import decoding, isolation
from ingestion.fields import Refuse
from ingestion.keys import KeyRing
from ingestion.literals import parse
from ingestion.privacy import Pseudonyms
from ingestion.records import Derived, Rules, decode
from ingestion.times import SourceClock, milliseconds
from tests.chaos.fuzz_inputs import CANARY, FIRST_ID, Input, Inputs
from tests.ingestion.envelopes import FETCHED_AT, PSEUDONYM_KEY, envelope, judge

NOW = milliseconds(FETCHED_AT)
BAD = {
    "escaped": "errors that came out of derive",
    "hung": "workers that had to be stopped",
    "killed": "workers that died",
    "lost": "records without a row, and good ones that were harmed by their neighbours",
    "doubled": "rows without a record",
    "leaked": "places where a plaintext or a key showed",
    "disagreed": "records that alone became something else than in a batch",
    "misread": "plaintexts accepted with another meaning than Python or JSON give them",
    "unexplained": "records refused with RESOURCE_LIMIT: no rule foresaw them",
}
"""What must be 0, and what it counts."""

_BATCH = 2_500
_SENTINELS = 3
_ONE_IN_PROCESS = 8
"""One input in so many is decoded here too: for its path, and to see that both agree."""
_ONE_ALONE = 500
"""One input in so many is sent to the child in a request of its own."""
_REPORT_EVERY = 100_000


class _Ear(logging.Handler):
    """Hears every log line: counts deaths of workers, and secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter())
        self._secrets = tuple(secrets)
        self.deaths: Counter[str] = Counter()
        self.leaked = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.leaked += any(secret in line for secret in self._secrets)
        if "worker died" in line:
            self.deaths[line.rpartition("because=")[2]] += 1


class Fuzz:
    """One run: inputs, rules, and what was found."""

    def __init__(self, seed: int) -> None:
        self.inputs = Inputs(seed)
        self.dice = random.Random(f"{seed}/places")
        keys = [self.inputs.new.key, self.inputs.old.key]
        self.rules = Rules(
            KeyRing(keys), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True)
        )
        self.secrets = (CANARY, *keys, PSEUDONYM_KEY.hex())
        numbers = range(FIRST_ID - _SENTINELS, FIRST_ID)
        self.sentinels = [envelope(keys[number % 2], number) for number in numbers]
        self.expected = {item["recordId"]: judge(item, keys)[1] for item in self.sentinels}
        self.found: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.paths: set[object] = set()

    def derive(self, items: list[object]) -> Derived | None:
        """Derive through the child; None if anything came out of it but rows."""
        try:
            return isolation.derive(items, self.rules, batch_seq=1, landed_at=NOW, fetched_at=NOW)
        except Exception:
            self.found["escaped"] += 1
            self.found["leaked"] += any(text in traceback.format_exc() for text in self.secrets)
            return None

    def batch(self, made: list[Input]) -> list[Input]:
        """Judge one batch; return what is worth to go on from."""
        items = [item.envelope for item in made]
        for sentinel in self.sentinels:
            items.insert(self.dice.randrange(len(items) + 1), sentinel)
        self.found["fuzzed"] += len(made)
        derived = self.derive(items)
        if derived is None:
            return []
        self._count(items, derived)
        self._check_sentinels(derived)
        self._check_silence(derived)
        refused = _refusals(derived)
        known = Counter(map(_id, items))
        worth = []
        for place, item in enumerate(made):
            number = _id(item.envelope)
            if item.depth == "plaintext" and number not in refused:
                self.found["misread"] += not _is_read_right(item.content)
            if place % _ONE_ALONE == 0:
                self._alone(item.envelope, refused.get(number) if known[number] == 1 else ...)
            if place % _ONE_IN_PROCESS:
                continue
            result = decode(item.envelope, self.rules, NOW)
            here = (result.reason, result.stage) if hasattr(result, "reason") else None
            if number is not None and known[number] == 1:
                self.found["disagreed"] += here != refused.get(number)
            path = self._path(item, here)
            if path not in self.paths:
                self.paths.add(path)
                worth.append(item)
        return worth

    def _alone(self, item: object, expected: object) -> None:
        derived = self.derive([item])
        if derived is None:
            return
        self._count([item], derived)
        if expected is not ...:
            self.found["disagreed"] += _refusals(derived).get(_id(item)) != expected

    def _count(self, items: list[object], derived: Derived) -> None:
        tables = [*derived.raw.values(), derived.quarantine]
        rows = Counter(
            number for table in tables for number in table.column("record_id").to_pylist()
        )
        offered = Counter(map(_id, items))
        self.found["lost"] += (offered - rows).total()
        self.found["doubled"] += (rows - offered).total()
        if sum(table.num_rows for table in tables) != len(items):
            self.found["lost"] += 1
        self.reasons.update(derived.reasons)
        self.reasons["good"] += sum(derived.good_days.values())

    def _check_sentinels(self, derived: Derived) -> None:
        for day, table in derived.raw.items():
            numbers = table.column("record_id").to_pylist()
            for place, number in enumerate(numbers):
                if FIRST_ID - _SENTINELS <= number < FIRST_ID:
                    (row,) = table.slice(place, 1).to_pylist()
                    row = {"dt": day} | {name: row[name] for name in row}
                    same = all(row[name] == value for name, value in self.expected[number].items())
                    self.found["unharmed"] += same

    def _check_silence(self, derived: Derived) -> None:
        """Look for a plaintext in quarantine, and at where the child's words go."""
        for column in derived.quarantine.itercolumns():
            for chunk in column.chunks:
                for buffer in chunk.buffers():
                    if buffer is not None and any(
                        secret.encode() in memoryview(buffer).tobytes() for secret in self.secrets
                    ):
                        self.found["leaked"] += 1
        for process in filter(Path.exists, (Path(f"/proc/{n}") for n in isolation._pool.pids())):
            for stream in (1, 2):
                self.found["leaked"] += str((process / f"fd/{stream}").readlink()) != "/dev/null"
            size = process.joinpath("status").read_text().split("VmHWM:")[1].split()[0]
            self.found["child_peak_mb"] = max(self.found["child_peak_mb"], int(size) // 1024)
        statm = Path("/proc/self/statm")
        pages = int(statm.read_text().split()[1]) if statm.exists() else 0
        here = pages * resource.getpagesize() // 2**20
        self.found["parent_peak_mb"] = max(self.found["parent_peak_mb"], here)

    def _path(self, item: Input, outcome: object) -> object:
        """Return what tells where in the decoder an input came to its end."""
        if outcome is None:
            content = item.content if isinstance(item.content, bytes) else b""
            marks = tuple(mark in content for mark in (b"'", b'"', b"\\", b"(", b"None", b"null"))
            columns = decode(item.envelope, self.rules, NOW).columns  # type: ignore[union-attr]
            kept = columns[11] or ""
            return (
                *(column is None for column in columns),
                *(mark in kept for mark in ('"detail"', '"$envelope"', "[", "\\", "e-", "null")),
                *marks,
            )
        try:
            decoding._decode(item.envelope, self.rules, NOW, [])
        except Refuse as refuse:
            return (outcome, _lines(refuse), _lines(refuse.__context__))
        except Exception as error:
            return (outcome, _lines(error))
        return outcome


def _is_read_right(content: bytes) -> bool:
    """Compare what was accepted with what Python or JSON themselves take it for."""
    text = content.decode("utf-8")
    try:
        meant = json.loads(text)
    except ValueError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote the text
            meant = ast.literal_eval(text.strip())
    return repr(_plain(parse(text))) == repr(_plain(meant))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _lines(error: BaseException | None) -> tuple[int, ...]:
    lines = []
    step = error.__traceback__ if error else None
    while step:
        lines.append(step.tb_lineno)
        step = step.tb_next
    return tuple(dict.fromkeys(lines))  # recursion is one place, however deep


def _id(item: object) -> int | None:
    """Say whether a record has an id, in words of our own."""
    value = item.get("recordId") if isinstance(item, dict) else None
    return value if type(value) is int and 0 <= value < 2**63 else None


def _refusals(derived: Derived) -> dict[int | None, tuple[str, str]]:
    columns = (derived.quarantine.column(name).to_pylist() for name in _COLUMNS)
    return {number: (reason, stage) for number, reason, stage in zip(*columns, strict=True)}


_COLUMNS = ("record_id", "reason", "stage")


def run(count: int, seed: int, report: Callable[[str], None]) -> dict[str, int]:
    """Fuzz ``count`` inputs and return what was found; all names in ``BAD`` have to be 0.

    The other numbers are figures: megabytes at the peak (of parent and child), inputs per second.
    """
    fuzz = Fuzz(seed)
    ear = _Ear(fuzz.secrets)
    root = logging.getLogger()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    begun = time.monotonic()
    batches = 0
    try:
        # The next inputs are made while the child decodes these; learning keeps its order, so
        # that a seed means the same inputs on every machine.
        with ThreadPoolExecutor(1) as maker:
            made = fuzz.inputs.make(min(_BATCH, count), FIRST_ID)
            while made:
                done = fuzz.found["fuzzed"] + len(made)
                coming = maker.submit(fuzz.inputs.make, min(_BATCH, count - done), FIRST_ID + done)
                worth = fuzz.batch(made)
                batches += 1
                made = coming.result()
                for item in worth:
                    fuzz.inputs.learn(item)
                if done // _REPORT_EVERY > (done - _BATCH) // _REPORT_EVERY:
                    speed = done / (time.monotonic() - begun)
                    report(
                        f"fuzzed {done:,} of {count:,} at {speed:,.0f}/s: {len(fuzz.paths):,} "
                        f"paths, {fuzz.reasons['good']:,} good"
                    )
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
    seconds = time.monotonic() - begun
    found = fuzz.found
    for reason, number in sorted(fuzz.reasons.items()):
        report(f"{number:>9,} {reason}")
    return {
        "fuzzed": found["fuzzed"],
        "escaped": found["escaped"],
        "hung": ear.deaths["time"] + ear.deaths["SIGPROF"] + ear.deaths["SIGALRM"],
        "killed": ear.deaths.total(),
        "lost": found["lost"] + batches * _SENTINELS - found["unharmed"],
        "doubled": found["doubled"],
        "leaked": found["leaked"] + ear.leaked,
        "disagreed": found["disagreed"],
        "misread": found["misread"],
        "unexplained": fuzz.reasons["RESOURCE_LIMIT"],
        "paths": len(fuzz.paths),
        "peak_mb": max(found["parent_peak_mb"], found["child_peak_mb"]),
        "child_peak_mb": found["child_peak_mb"],
        "per_second": round(found["fuzzed"] / seconds),
    }


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    result: dict[str, Any] = run(asked, 7, lambda line: print(line, flush=True))  # noqa: T201
    print(" ".join(f"{name}={number}" for name, number in result.items()))  # noqa: T201
