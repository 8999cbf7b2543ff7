"""The registry, the draw, and what a user may ask for."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimulatorError
from simulator.faults import HTTP, NOT_COMMITTED, RECORD, REGISTRY, Faults, listing
from simulator.tokens import Sealer
from tests.simulator.conftest import Start
from tests.simulator.wire import RING, ask, serving

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FROZEN = ("--start", "2026-01-05", "--until", "2026-01-07T12:00:00+09:00", "--users", "400")
MIXED = {"id-missing": 0.1, "unknown-key": 0.2, "twice-other-token": 0.05, "field-nul": 0.15}


def drawn(rates: dict[str, float], seed: int, sort: str, number: int) -> str | None:
    """Return who is hurt by what, computed from the description alone."""
    digest = hashlib.sha256(f"{seed}/{sort}/{number}".encode()).hexdigest()
    place = int(digest[:16], 16) / 2**64
    for name, rate in sorted(rates.items()):
        if place < rate:
            return name
        place -= rate
    return None


def test_faults_account_for_every_number_of_the_list_once() -> None:
    committed = {number for fault in REGISTRY.values() for number in fault.numbers}

    assert committed | NOT_COMMITTED.keys() == set(range(1, 108))
    assert not committed & NOT_COMMITTED.keys()
    assert all(len(reason) > 20 for reason in NOT_COMMITTED.values())


def test_faults_have_names_of_one_kind_and_say_what_they_do() -> None:
    assert len(REGISTRY) == len(HTTP) + len(RECORD)
    for name, fault in REGISTRY.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert fault.name == name
        assert fault.does
        assert "\n" not in fault.does
        assert 0 < fault.rate <= 0.05


def test_faults_of_a_record_can_be_computed_by_anyone() -> None:
    faults = Faults(MIXED, seed=3)

    hurt = {number: faults.of(number) for number in range(2_400_001, 2_420_001)}

    assert hurt == {number: drawn(MIXED, 3, "record", number) for number in hurt}
    counts = Counter(hurt.values())
    for name, rate in MIXED.items():
        # Five standard deviations; and the seed is fixed, so it holds or it does not.
        assert abs(counts[name] - 20_000 * rate) < 5 * (20_000 * rate * (1 - rate)) ** 0.5


def test_faults_of_a_request_can_be_computed_by_anyone() -> None:
    rates = {"hang": 0.1, "empty-body": 0.3}
    faults = Faults(rates, seed=3)

    hurt = [faults.of_request(number) for number in range(1, 2_001)]

    assert hurt == [drawn(rates, 3, "request", number) for number in range(1, 2_001)]


def test_faults_differ_by_seed_and_not_by_the_order_of_the_wishes() -> None:
    wishes = [f"{name}={rate}" for name, rate in MIXED.items()]
    numbers = range(1_000)

    one, same, other = (
        [faults.of(number) for number in numbers]
        for faults in (Faults.parse(wishes, 1), Faults.parse(wishes[::-1], 1), Faults.parse(wishes))
    )

    assert one == same != other


def test_faults_that_last_hit_the_requests_that_follow() -> None:
    faults = Faults({"outage-503": 0.01}, seed=5, requests=50)
    starts = [n for n in range(1, 2_001) if drawn(faults.rates, 5, "request", n)]  # type: ignore[arg-type]

    hurt = {number for number in range(1, 2_001) if faults.of_request(number)}

    assert hurt == {n for start in starts for n in range(start, start + 50)} & set(range(1, 2_001))
    assert 500 < len(hurt) < 1_500


def test_faults_of_records_and_of_requests_do_not_take_from_one_another() -> None:
    faults = Faults.parse(["id-null=1", "html-page=1"])

    assert (faults.of(1), faults.of_request(1)) == ("id-null", "html-page")


def test_faults_with_rate_zero_change_nothing(sealer: Sealer) -> None:
    with serving(sealer, Faults.parse(["id-null=0", "hang=0"])) as address:
        hurt = ask(address)
    with serving(sealer, None) as address:
        good = ask(address)

    tokens = re.compile(rb'"data":"[^"]+"')
    assert tokens.sub(b"", hurt.body) == tokens.sub(b"", good.body)
    assert hurt.headers.keys() == good.headers.keys()
    assert tokens.findall(hurt.body) != tokens.findall(good.body)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (["nonsense"], "There is no fault 'nonsense'; --list-faults prints them all."),
        (["hang=2"], "--fault hang=2: the rate must be a number from 0 to 1."),
        (["hang=-1"], "must be a number"),
        (["hang=nan"], "must be a number"),
        (["hang="], "must be a number"),
        (["hang", "hang=0.1"], "--fault hang was given twice."),
        (["id-null=0.6", "id-true=0.6"], "all faults of records add up to 1.2"),
    ],
)
def test_faults_say_what_is_wrong_with_a_wish(wishes: list[str], reason: str) -> None:
    with pytest.raises(SimulatorError, match=re.escape(reason)):
        Faults.parse(wishes)


def test_faults_without_a_rate_hurt_one_in_twenty_or_few_if_they_are_huge() -> None:
    rates = Faults.parse(["hang", "id-null", "token-50-mb"]).rates

    assert rates == {"hang": 0.05, "id-null": 0.05, "token-50-mb": 0.001}


def test_faults_are_listed_without_a_key_ring(run: Run) -> None:
    done = run("--list-faults")

    assert done.returncode == 0
    assert done.stdout == listing() + "\n"
    for name, fault in REGISTRY.items():
        assert re.search(
            rf"^{name} +{','.join(map(str, fault.numbers))}  \S", done.stdout, re.MULTILINE
        )


def test_faults_are_refused_on_the_command_line_in_one_sentence(run: Run, tmp_path: Path) -> None:
    unknown = run(*FROZEN, "--fault", "nonsense")
    http = run(*FROZEN, "--history", "1", "--out", str(tmp_path), "--fault", "hang=0.1")
    keyless = run(*FROZEN, "--fault", "removed-key")

    assert unknown.stderr == (
        "error: There is no fault 'nonsense'; --list-faults prints them all.\n"
    )
    assert http.stderr == (
        "error: --history writes files, and a file cannot commit hang; with --history only faults "
        "of records make sense.\n"
    )
    assert keyless.stderr.endswith("holds no retired key, which a --fault needs.\n")
    assert {done.returncode for done in (unknown, http, keyless)} == {1}
    assert list(tmp_path.iterdir()) == []


def kinds_of(elements: list[Any], faults: Faults) -> Counter[str | None]:
    """Count what is visibly hurt on a page, or in a file, of the faults in MIXED."""
    return Counter(
        "id-missing" if "recordId" not in element else faults.of(element["recordId"])
        for element in elements
    )


def test_faults_poison_dumps_as_they_poison_pages(run: Run, started: Start, tmp_path: Path) -> None:
    faults = Faults(MIXED, seed=11)
    wishes = [part for name, rate in MIXED.items() for part in ("--fault", f"{name}={rate}")]
    flags = (*FROZEN, *wishes, "--fault-seed", "11")

    done = run(*flags, "--history", "1", "--out", str(tmp_path))
    (path,) = tmp_path.iterdir()
    dumped = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    first = next(element["recordId"] for element in dumped if "recordId" in element)
    records = int(re.findall(r"records=(\d+)", done.stdout)[0])
    with started(*flags) as client:
        served = client.get(f"?after={first - 1}&limit={records}")

    truth = Counter(faults.of(number) for number in range(first, first + records))
    truth["twice-other-token"] *= 2
    assert truth.keys() == {None, *MIXED}
    assert kinds_of(dumped, faults) == kinds_of(served, faults) == truth
    assert [e.get("recordId") for e in dumped] == [e.get("recordId") for e in served]


def test_faults_hurt_the_records_of_a_replayed_log_too(started: Start, tmp_path: Path) -> None:
    line = '10.0.0.7 - - [31/Dec/2025:23:30:00 +0100] "GET /{} HTTP/1.1" 200 5\n'
    (tmp_path / "log").write_text("".join(map(line.format, range(40))))

    with started("--replay", str(tmp_path / "log"), "--fault", "id-as-text=0.5") as client:
        ids = [envelope["recordId"] for envelope in client.get()]

    faults = Faults({"id-as-text": 0.5})
    assert ids == [str(n) if faults.of(n) else n for n in range(1, 41)]
    assert len({type(number) for number in ids}) == 2


def test_stranger_of_unknown_key_is_another_one_for_another_seed() -> None:
    strangers = {Faults(seed=seed).stranger for seed in range(5)}

    assert len(strangers) == 5
    assert not any(key in RING for key in strangers)
    assert not any(key in repr(Faults(seed=seed)) for seed, key in enumerate(strangers))
