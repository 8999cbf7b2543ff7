"""What somebody who comes back after days finds, and what a backfill does to those who are here."""

import json
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from laptop.environment import Laptop
from laptop.world import upload_dumps
from tests.airflow_modes.control_room import ControlRoom
from tests.alerts.receivers import Receiver, receiving
from tests.catching_up.comparing import different_tables
from tests.catching_up.site import (
    Site,
    after,
    as_if_long_ago,
    runs_of,
    say,
    seconds_between,
    wait_until_quiet,
)

INGEST, BACKFILL, TRANSFORM = "ingest_access_logs", "backfill_access_logs", "transform_warehouse"
AWAY_DAYS = 4
BACKFILL_DAYS = 30
CAP = 2


def ingest(room: ControlRoom) -> dict[str, Any]:
    """Run the live DAG by hand, which must succeed; return the run."""
    run = room.ended(INGEST, room.start(INGEST))
    assert run["state"] == "success", run
    return run


def outage(laptop: Laptop, dags: Path, scale: float) -> list[str]:
    """Red twice while the source is away, then off for four days; one incident, one run."""
    with ExitStack() as stack:
        rooms = [stack.enter_context(receiving(name)) for name in ("Slack", "Teams")]
        site = Site(laptop, dags, "outage", users=round(20_000 * scale), variables=_doors(rooms))
        room = stack.enter_context(site.running())
        with site.source(after(1)):
            ingest(room)
            wait_until_quiet(room, INGEST)
        problems = _red_for_a_while(room)
        room.api.pause(INGEST, True)
        wait_until_quiet(room, INGEST)
        before = {run["dag_run_id"] for run in runs_of(room, INGEST)}
        held = len(site.raw())
        as_if_long_ago(laptop, AWAY_DAYS)
        with site.source(after(1 + AWAY_DAYS)) as url:
            truth = site.truth(url)
            begun = time.monotonic()
            room.api.pause(INGEST, False)
            while len(site.raw()) < len(truth) and time.monotonic() < begun + 900:
                time.sleep(0.5)
            seconds = time.monotonic() - begun
            problems += site.against(truth)
            # The DAG processor tells people when it comes to it; a storm has its time, too.
            while (
                not all(len(each.texts) >= 2 for each in rooms) and time.monotonic() < begun + 900
            ):
                time.sleep(1)
            time.sleep(20)
            room.api.pause(INGEST, True)
            wait_until_quiet(room, INGEST)
            ticks = 1 + (time.monotonic() - begun) // 600
        new = _new(room, before)
        states = Counter(run["state"] for run in new)
        # The one that was due four days ago, and one for each ten minutes that were over here.
        problems += [] if len(new) <= 1 + ticks else [f"{len(new)} runs: a storm"]
        problems += [] if set(states) == {"success"} else [f"runs {dict(states)}"]
        missed = len(truth) - held
        took = max(seconds_between(run["start_date"], run["end_date"]) for run in new)
        say(
            f"  {AWAY_DAYS} days, {missed:,} records: {len(new)} runs, {seconds:.0f} s from "
            f"unpausing to readers, {took:.0f} s in the longest run: "
            f"{missed / took * 60:,.0f} records a minute"
        )
        told = [[_kind(text) for text in each.texts] for each in rooms]
        say(f"  told: {told}")
        return problems + ([] if told == [["failed", "recovered"]] * 2 else [f"told {told}"])


def _red_for_a_while(room: ControlRoom) -> list[str]:
    """Fail twice because the source is away: what a retry may cure is tried four times."""
    problems = []
    for _ in range(2):
        run_id = room.start(INGEST)
        state = room.ended(INGEST, run_id)["state"]
        tries = {t["task_id"]: t["try_number"] for t in room.api._tasks(INGEST, run_id)}["land"]
        say(f"  the source is away: {state} after {tries} tries")
        problems += [] if (state, tries) == ("failed", 4) else [f"{state} after {tries} tries"]
    return problems


def _doors(rooms: list[Receiver]) -> dict[str, str]:
    return {
        f"AIRFLOW_CONN_DAYLIGHT_{room.name.upper()}": json.dumps(
            {"conn_type": "http", "password": room.address}
        )
        for room in rooms
    }


def _kind(text: str) -> str:
    return next((kind for kind in ("failed", "recovered", "late") if f" {kind}" in text), "?")


def _new(room: ControlRoom, before: set[str]) -> list[dict[str, Any]]:
    return [run for run in runs_of(room, INGEST) if run["dag_run_id"] not in before]


def window(laptop: Laptop, dags: Path, scale: float) -> list[str]:
    """The same behind a window: a hole is reported, and the source's dumps fill it."""
    site = Site(laptop, dags, "window", users=round(2_000 * scale), paging="window")
    with site.running() as room:
        with site.source(after(0.5)):
            ingest(room)
        # The newest records of a day are in its dump before the API shows them: a little later.
        with site.source(after(1.1 + AWAY_DAYS)) as url:
            truth = site.truth(url)
            ingest(room)
            wait_until_quiet(room, INGEST)
        held = {row["record_id"] for row in site.raw()}
        hole = len([i for i in truth if i not in held])
        run = room.ended("load_dumps", room.start("load_dumps", {"uri": str(site.dumps(5))}))
        took = seconds_between(run["start_date"], run["end_date"])
        say(f"  {hole:,} records in the hole; the dumps filled it in {took:.0f} s ({run['state']})")
        problems = [] if hole and run["state"] == "success" else ["no hole, or no dump"]
        return problems + site.against(truth)


def incurable(laptop: Laptop, dags: Path, scale: float) -> list[str]:
    """What no retry can cure is tried once: the source refuses the address."""
    site = Site(laptop, dags, "incurable", users=100)
    site.variables["SOURCE_URL"] = "ftp://nowhere"
    with site.running() as room:
        run_id = room.start(INGEST)
        state = room.ended(INGEST, run_id)["state"]
        tries = {t["task_id"]: t["try_number"] for t in room.api._tasks(INGEST, run_id)}["land"]
    say(f"  a wrong setting: {state} after {tries} try")
    return [] if (state, tries) == ("failed", 1) else [f"{state} after {tries} tries"]


def backfill(laptop: Laptop, dags: Path, scale: float) -> list[str]:
    """Thirty days beside live runs and builds, the scheduler killed on the way."""
    days = BACKFILL_DAYS + 5
    users = round(600 * scale)
    beside = Site(laptop, dags, "beside", users, paging="window")
    dumps = beside.dumps(days)
    recent = laptop.home / "recent"
    recent.mkdir(exist_ok=True)
    for dump in sorted(dumps.glob("*.gz"))[BACKFILL_DAYS:]:
        (recent / dump.name).write_bytes(dump.read_bytes())
    problems: list[str] = []
    with beside.running() as room:
        upload_dumps(dumps, laptop.aws_url)
        _load(room, recent, beside, after(days + 0.4))
        room.api.pause(TRANSFORM, False)
        alone = [_live(room, beside, days + 0.4 + step / 72) for step in (1, 2)]
        say(f"  live runs alone: {_listed(alone)} s from start to readers")
        live, seen = _beside_a_backfill(room, beside, days + 0.44)
        say(f"  live runs beside the backfill and builds: {_listed(live)} s")
        problems += [] if seen <= CAP else [f"{seen} days at a time"]
        wait_until_quiet(room, TRANSFORM)
        states = Counter(run["state"] for run in runs_of(room, BACKFILL))
        builds = Counter(run["state"] for run in runs_of(room, TRANSFORM))
        say(f"  days {dict(states)}, at most {seen} at a time; builds {dict(builds)}")
        problems += [] if states == {"success": BACKFILL_DAYS} else [f"days {dict(states)}"]
        problems += [] if set(builds) == {"success"} else [f"builds {dict(builds)}"]
        until = days + 0.44 + len(live) / 72
        with beside.source(after(until)) as url:
            truth = beside.truth(url)
            ingest(room)
        wait_until_quiet(room, TRANSFORM)
        problems += beside.against(truth)
    undisturbed = Site(laptop, dags, "undisturbed", users, paging="window")
    with undisturbed.running() as room:
        _load(room, dumps, undisturbed, after(until))
        problems += undisturbed.against(truth)
        tables, found = different_tables(
            laptop, f"{beside.name}_build", f"{undisturbed.name}_build"
        )
    say(f"  {tables} tables, EXCEPT ALL both ways: {len(found)} differ")
    return problems + found


def _load(room: ControlRoom, dumps: Path, site: Site, until: str) -> None:
    """Load dumps and the window, and build the warehouse once."""
    room.api.pause(TRANSFORM, True)
    loaded = room.ended("load_dumps", room.start("load_dumps", {"uri": str(dumps)}))
    with site.source(until):
        ingest(room)
    wait_until_quiet(room, INGEST)
    built = room.ended(TRANSFORM, room.start(TRANSFORM), 2400)
    assert (loaded["state"], built["state"]) == ("success", "success"), (loaded, built)
    wait_until_quiet(room, TRANSFORM)


def _live(room: ControlRoom, site: Site, day: float) -> float:
    """Poll the source as it is at a moment; return the seconds until readers had what it offers."""
    with site.source(after(day)):
        wait_until_quiet(room, INGEST)
        begun = time.monotonic()
        ingest(room)
        return time.monotonic() - begun


def _beside_a_backfill(room: ControlRoom, site: Site, day: float) -> tuple[list[float], int]:
    """Backfill all days, poll all the while; return how long polls took, and most days at once."""
    room.api.pause(BACKFILL, False)
    # By its own schedule it looks for yesterday's dump, which this world has not.
    asked = {
        "dag_id": BACKFILL,
        "from_date": after(0),
        "to_date": after(BACKFILL_DAYS - 1),
        "max_active_runs": CAP,
        "reprocess_behavior": "failed",
    }
    number = room.api._call("POST", "backfills", asked)["id"]
    live: list[float] = []
    most = 0
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            live.append(_live(room, site, day + (len(live) + 1) / 72))
            done.wait(10)

    poller = threading.Thread(target=poll)
    poller.start()
    killed = False
    while not room.api._call("GET", f"backfills/{number}")["completed_at"]:
        runs = Counter(r["state"] for r in runs_of(room, BACKFILL) if r["run_type"] == "backfill")
        most = max(most, runs["running"])
        if not killed and runs["success"] >= BACKFILL_DAYS // 3:
            killed = True
            room.kill_part("airflow-scheduler")
            room.start_part("airflow-scheduler")
            say(f"  the scheduler was killed after {runs['success']} days, and started again")
        time.sleep(1)
    done.set()
    poller.join()
    return live, most


def _listed(seconds: list[float]) -> str:
    return " ".join(f"{each:.0f}" for each in seconds)


def expire(laptop: Laptop, dags: Path, scale: float) -> list[str]:
    """Old runs, their logs and the lake's leftovers go, beside a live run; what is new stays."""
    site = Site(laptop, dags, "expire", users=300)
    database = f"sqlite:///{laptop.home / 'airflow' / 'airflow.db'}?timeout=60"
    site.variables["AIRFLOW_CONN_DAYLIGHT_METADATA"] = json.dumps(
        {"conn_type": "generic", "password": database}
    )
    problems = []
    with site.running() as room, site.source(after(2)) as url:
        ingest(room)
        ingest(room)
        wait_until_quiet(room, INGEST)
        old = len(runs_of(room, INGEST))
        as_if_long_ago(laptop, 60)
        live = room.start(INGEST)
        run = room.ended("expire_history", room.start("expire_history"))
        states = room.states("expire_history", run["dag_run_id"])
        left = room.ended(INGEST, live)["state"]
        now = len(runs_of(room, INGEST))
        say(f"  {states}; of {old} old runs {now - 1} are left; the live run beside it: {left}")
        problems += (
            [] if set(states.values()) == {"success"} and left == "success" else [f"{states}"]
        )
        problems += [] if now - 1 < old else ["nothing was removed"]
        ingest(room)  # Airflow still works
        return problems + site.against(site.truth(url))


DRILLS = {
    "outage": outage,
    "window": window,
    "incurable": incurable,
    "expire": expire,
    "backfill": backfill,
}
