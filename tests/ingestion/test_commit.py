"""The protocol: whatever is killed, repeated or raced, every record is there exactly once."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import ingestion.landing
from ingestion import ContractError, LakeUnavailable, Settings, land_api, land_dumps
from ingestion.commit import LandingLog
from ingestion.headers import Header
from ingestion.proposals import Candidate, propose
from ingestion.staging import Deriver
from ingestion.texts import spell
from tests.ingestion.conftest import place_lake
from tests.ingestion.envelopes import STRANGER, envelope, judge, plaintext, population, seal
from tests.ingestion.lakes import (
    DyingLake,
    Killed,
    MemoryLake,
    markers,
    publish_checked,
    quarantine_rows,
    raw_rows,
    write,
)
from tests.ingestion.sources import page, serving

Append = Callable[..., Header]


@pytest.fixture
def append(make_settings: Callable[..., Settings]) -> Append:
    """Append envelopes (a text stands for one without an id, known by that text) to a log."""
    rules = Deriver(make_settings()).rules

    def append(log: LandingLog, *envelopes: dict | str) -> Header:
        made = Candidate("api", "run", 1_763_000_000_000, is_consecutive=True)
        for each in envelopes:
            key = each if isinstance(each, str) else each["recordId"]
            made.add(key, spell(each), "2026-11-19")
        entry = log.append(lambda head: propose(head, made, rules))
        assert entry is not None
        return entry.header

    return append


def run(settings: Settings, uri: str) -> dict[str, int]:
    return publish_checked(settings, land_dumps(settings, uri))


def state(lake: MemoryLake) -> tuple[Counter, Counter]:
    """Return how often each id is in raw, and each (key, reason) in quarantine."""
    raw = Counter(row["record_id"] for row in raw_rows(lake))
    refused = Counter((row["record_key"], row["reason"]) for row in quarantine_rows(lake))
    return raw, refused


def expected(items: list, keys: list[str]) -> tuple[Counter, Counter]:
    raw, refused = Counter(), Counter()
    for item in items:
        reason, _ = judge(item, keys)
        if reason:
            refused[str(item["recordId"]), reason] += 1
        else:
            raw[item["recordId"]] += 1
    return raw, refused


def test_a_run_lands_what_the_oracle_says_and_a_second_changes_nothing(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    items = population([fernet_key], 500, seed=2)
    settings = make_settings()
    uri = write(tmp_path / "dump", items)

    sums = run(settings, uri)
    before = dict(memory_lake.objects)
    again = run(settings, uri)

    raw, refused = expected(items, [fernet_key])
    assert state(memory_lake) == (raw, refused)
    assert sums == {
        "batches": 1,
        "offered": 500,
        "good": raw.total(),
        "quarantined": refused.total(),
        "duplicate": 0,
        "conflict": 0,
        "replayed": 0,
    }
    assert again == dict.fromkeys(sums, 0)
    assert memory_lake.objects == before


@pytest.mark.parametrize("when", ["before", "after", "reply_lost"])
def test_a_run_killed_at_any_call_is_finished_by_the_next_without_loss_or_double(
    when: str,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 30)
    items = population([fernet_key], 50, seed=3)  # two batches
    settings = make_settings()
    uri = write(tmp_path / "dump", items)
    truth = expected(items, [fernet_key])

    killed = 0
    while True:
        memory = MemoryLake()
        dying = DyingLake(memory, killed + 1, when)
        place_lake(monkeypatch, lambda settings, dying=dying: dying)
        try:
            run(settings, uri)
        except (Killed, LakeUnavailable):
            assert dying.happened
        else:
            assert not dying.happened
            break
        killed += 1
        place_lake(monkeypatch, memory)
        run(settings, uri)
        assert state(memory) == truth, f"killed {when} call {killed}"
        assert len(markers(memory)) == len(LandingLog(memory).seqs("log"))

    assert killed > 40


@pytest.mark.parametrize("first", range(1, 60, 7))
def test_a_run_killed_twice_is_finished_by_the_third(
    first: int,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 30)
    items = population([fernet_key], 50, seed=3)
    settings = make_settings()
    uri = write(tmp_path / "dump", items)

    for second in range(1, 40, 3):
        memory = MemoryLake()
        for fatal in (first, second):
            dying = DyingLake(memory, fatal, "after")
            place_lake(monkeypatch, lambda settings, dying=dying: dying)
            try:
                run(settings, uri)
            except Killed:
                assert dying.happened
        place_lake(monkeypatch, memory)
        run(settings, uri)

        assert state(memory) == expected(items, [fernet_key])


def test_racing_runs_with_overlapping_windows_take_each_record_once(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    items = population([fernet_key], 400, seed=4)
    settings = make_settings()
    uris = [
        write(tmp_path / f"dump-{start}", items[start : start + 200])
        for start in (0, 100, 150, 200)
    ]
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(uris))

    def race(uri: str) -> None:
        try:
            barrier.wait(10)
            run(settings, uri)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=race, args=[uri]) for uri in uris]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    publish_checked(settings, land_dumps(settings, uris[0]))

    assert failures == []
    assert state(memory_lake) == expected(items, [fernet_key])
    assert sum(m["good"] + m["quarantined"] for m in markers(memory_lake)) == 400


def die(*arguments: object) -> None:
    raise Killed


def test_the_loser_of_a_race_adopts_the_plan_of_the_winner(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    other = Fernet.generate_key().decode()
    items = [envelope(fernet_key, 1), envelope(other, 2)]
    uri = write(tmp_path / "dump", items)
    lacking = make_settings()
    (tmp_path / "both.keys").write_text(f"{fernet_key}\n{other}\n")
    knowing = make_settings(FERNET_KEYS_FILE=str(tmp_path / "both.keys"))

    old = land_dumps(lacking, uri)
    new = land_dumps(knowing, uri)
    assert old != new
    with monkeypatch.context() as patch:
        patch.setattr(LandingLog, "mark", die)  # all copied, nothing marked
        with pytest.raises(Killed):
            publish_checked(lacking, old)
    publish_checked(knowing, new)

    # Without CAS-2, record 2 would be in quarantine by the first and in raw by the second.
    assert state(memory_lake) == (Counter([1]), Counter([("2", "TOKEN_UNKNOWN_KEY")]))


def test_a_batch_behind_an_unpublished_one_waits(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    land_dumps(settings, write(tmp_path / "a", [envelope(fernet_key, 1)]))
    manifests = land_dumps(settings, write(tmp_path / "b", [envelope(fernet_key, 2)]))

    assert publish_checked(settings, manifests[1:])["batches"] == 0
    assert raw_rows(memory_lake) == []
    assert publish_checked(settings, manifests)["batches"] == 2
    assert state(memory_lake)[0] == Counter([1, 2])


def test_a_batch_that_waits_for_its_check_is_not_derived_again(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    uri = write(tmp_path / "a", [envelope(fernet_key, 1)])

    assert land_dumps(settings, uri) == land_dumps(settings, uri)


def test_publish_is_counted_the_same_when_it_is_repeated(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    manifests = land_dumps(settings, write(tmp_path / "a", [envelope(fernet_key, 1)]))

    assert publish_checked(settings, manifests) == publish_checked(settings, manifests)


def test_recover_derives_again_when_a_key_has_arrived_before_the_check_passed(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    other = Fernet.generate_key().decode()
    uri = write(tmp_path / "dump", [envelope(fernet_key, 1), envelope(other, 2)])
    settings = make_settings()
    land_dumps(settings, uri)

    settings.fernet_keys_file.write_text(f"{other}  # new\n{fernet_key}\n")
    publish_checked(settings, land_dumps(settings, uri))

    assert state(memory_lake) == (Counter([1, 2]), Counter())


def test_a_batch_is_derived_the_same_at_any_later_time(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    items = population([fernet_key], 100, seed=9)
    (first,) = land_dumps(settings, write(tmp_path / "dump", items))
    plan = json.loads(memory_lake.get(memory_lake.key_of(first)) or b"")
    for key in list(memory_lake.keys("staging/")):
        del memory_lake.objects[key]

    (second,) = land_dumps(settings, str(tmp_path / "dump"))

    again = json.loads(memory_lake.get(memory_lake.key_of(second)) or b"")
    assert [file["sha256"] for file in again["files"]] == [f["sha256"] for f in plan["files"]]


def test_the_marker_is_one_line_in_which_every_sum_comes_out(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    items = population([fernet_key], 300, seed=6)
    run(make_settings(), write(tmp_path / "dump", items + items[:40]))

    body = memory_lake.objects["published/access_logs/000000000001.json"]
    marker = json.loads(body)
    assert body.count(b"\n") == 1
    assert marker["offered"] == 340
    assert marker["duplicate"] == 40
    for row in [marker, *marker["arrival_days"]]:
        assert row["offered"] == row["good"] + row["quarantined"] + row["duplicate"]
    for name in ("offered", "good", "quarantined", "duplicate"):
        assert sum(day[name] for day in marker["arrival_days"]) == marker[name]
    rows = raw_rows(memory_lake)
    for day in marker["event_days"]:
        times = sorted(row["occurred_at"] for row in rows if row["dt"] == day["dt"])
        assert day["rows"] == len(times)
        assert day["first_at"] == f"{times[0]:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        assert day["last_at"] == f"{times[-1]:%Y-%m-%d %H:%M:%S.%f}"[:-3]


def test_a_record_without_an_id_is_quarantined_once_however_often_it_is_offered(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    def offer() -> list:
        nameless = envelope(fernet_key, 5, plaintext(5))  # encrypted anew on each request
        del nameless["recordId"]
        return [envelope(fernet_key, 1), nameless]

    with serving(page(offer()), page(offer())) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))
        publish_checked(settings, land_api(settings))

    (row,) = quarantine_rows(memory_lake)
    assert row["reason"] == "ID_MISSING"
    assert row["record_key"].startswith("sha256:")
    assert len(markers(memory_lake)) == 1


def test_the_log_notices_an_entry_that_was_deleted(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    for number in (1, 2):
        run(settings, write(tmp_path / f"{number}", [envelope(fernet_key, number)]))
    del memory_lake.objects["log/access_logs/000000000001.json"]

    with pytest.raises(ContractError, match="no entry 1, but later ones"):
        land_dumps(settings, str(tmp_path / "1"))


def test_the_log_notices_an_entry_that_was_changed(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    for number in (1, 2):
        run(settings, write(tmp_path / f"{number}", [envelope(fernet_key, number)]))
    key = "log/access_logs/000000000001.json"
    memory_lake.objects[key] = memory_lake.objects[key].replace(b'"offered":1', b'"offered":2')

    with pytest.raises(ContractError, match="does not continue entry 1"):
        land_dumps(settings, str(tmp_path / "1"))


def test_the_log_notices_records_that_were_changed(
    memory_lake: MemoryLake, append: Append, fernet_key: str
):
    header = append(LandingLog(memory_lake), envelope(fernet_key, 1))
    memory_lake.objects[header.body] = b"[]"

    with pytest.raises(ContractError, match="gone or changed"):
        LandingLog(memory_lake).envelopes(header)


def test_append_leaves_out_what_a_winner_took_in_between(
    memory_lake: MemoryLake, append: Append, fernet_key: str, monkeypatch: pytest.MonkeyPatch
):
    log, twin = LandingLog(memory_lake), LandingLog(memory_lake)
    create = memory_lake.create

    def create_behind_the_twin(key: str, body: bytes) -> bool:
        monkeypatch.setattr(memory_lake, "create", create)
        append(twin, *(envelope(fernet_key, i) for i in (2, 3)))
        return create(key, body)

    monkeypatch.setattr(memory_lake, "create", create_behind_the_twin)
    header = append(log, *(envelope(fernet_key, i) for i in (1, 2)))

    assert (header.seq, header.new, header.duplicate) == (2, 1, 1)
    assert header.settled == [[1, 3]]
    assert [e["recordId"] for e in log.envelopes(header)] == [1]


def test_append_leaves_out_a_record_without_an_id_that_a_winner_took(
    memory_lake: MemoryLake, append: Append
):
    first = append(LandingLog(memory_lake), "sha256:a", "sha256:b")
    second = append(LandingLog(memory_lake), "sha256:b", "sha256:c")

    assert (first.new, second.new, second.duplicate) == (2, 1, 1)
    assert second.unidentified == ["sha256:a", "sha256:b", "sha256:c"]


def test_personal_values_and_keys_are_nowhere_in_the_lake_or_the_log(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level("DEBUG")
    user, url = "canary-user-4711", "canary-text-4712"
    items = [
        envelope(fernet_key, 1, plaintext(1, user_id=user)),
        envelope(fernet_key, 2, f"{{'user_id': '{user}', 'url': {url}}}"),
        envelope(fernet_key, 3, plaintext(3, user_id=user, inDate=url)),
        envelope(fernet_key, 4, plaintext(4, user_id=user, detail=url)),
        envelope(fernet_key, 5, user + url),
        envelope(fernet_key, 6, data=seal(STRANGER, user)),
    ]

    run(make_settings(), write(tmp_path / "dump", items))

    assert len(quarantine_rows(memory_lake)) == 5
    canaries = (user, url, fernet_key, "5a" * 32)
    everything = [repr(raw_rows(memory_lake)), repr(quarantine_rows(memory_lake)), caplog.text]
    everything += [
        body.decode("utf-8") for key, body in memory_lake.objects.items() if key.endswith(".json")
    ]
    assert not [c for c in canaries for text in everything if c in text]


class OvertakenLake(MemoryLake):
    """Lets a twin commit just before the first entry of the log is created."""

    def __init__(self, twin: Callable[[], object]) -> None:
        super().__init__()
        self.twin: Callable[[], object] | None = twin
        self.bodies = 0

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        self.bodies += key.startswith("landing/")
        super().put(key, body, content_type)

    def create(self, key: str, body: bytes) -> bool:
        twin, self.twin = self.twin, None
        if twin:
            twin()
        return super().create(key, body)


@pytest.mark.parametrize(("theirs", "bodies"), [([7, 8], 2), ([2, 7], 3)])
def test_a_race_that_is_lost_puts_the_same_records_only_once(
    append: Append, fernet_key: str, theirs: list[int], bodies: int
):
    lake = OvertakenLake(
        lambda: append(LandingLog(lake), *(envelope(fernet_key, number) for number in theirs))
    )

    header = append(LandingLog(lake), *(envelope(fernet_key, number) for number in (1, 2, 3)))

    kept = [number for number in (1, 2, 3) if number not in theirs]
    assert header.seq == 2
    assert [item["recordId"] for item in LandingLog(lake).envelopes(header)] == kept
    assert lake.bodies == bodies
