"""Sessions, and the steps from view to cart to purchase."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.oracle.dates import History
from tests.oracle.lake import (
    DAY,
    Event,
    Row,
    by_key,
    in_order,
    milliseconds,
    nearest_rank,
    rate,
)

GAP = timedelta(minutes=30)
CAP = timedelta(hours=24)
STEPS = ("view", "cart", "purchase")


@dataclass(frozen=True)
class Session:
    """What a user did without pausing for more than 30 minutes, cut after 24 hours."""

    events: Sequence[Event]
    is_over_cap: bool

    @property
    def user(self) -> str:
        return self.events[0].user

    @property
    def day(self) -> date:
        return self.events[0].day

    def row(self) -> Row:
        first, last = self.events[0], self.events[-1]
        done = [event.activity for event in self.events if not event.is_error]
        views, purchases = done.count("view"), done.count("purchase")
        seconds = milliseconds(first.at, last.at) / 1000
        name = f"{first.user}:{first.record_id}"
        return {
            "session_id": hashlib.md5(name.encode()).hexdigest(),
            "session_date": first.day,
            "user_id": first.user,
            "start_record_id": first.record_id,
            "started_at": first.at,
            "ended_at": last.at,
            "event_count": len(self.events),
            "route_count": len({event.route for event in self.events} - {None}),
            "view_count": views,
            "purchase_count": purchases,
            "entry_route": first.route,
            "exit_route": last.route,
            "duration_seconds": seconds,
            "is_converted": purchases > 0,
            "is_bounce": len(self.events) == 1,
            "is_engaged": views >= 2 or seconds >= 20 or purchases > 0,
            "is_over_cap": self.is_over_cap,
        }


def sessions(events: Iterable[Event]) -> list[Session]:
    return [
        _cut(chain) for own in by_key(events, "user").values() for chain in _chains(in_order(own))
    ]


def _chains(own: Sequence[Event]) -> Iterator[list[Event]]:
    chain = [own[0]]
    for event in own[1:]:
        if event.at - chain[-1].at > GAP:
            yield chain
            chain = []
        chain.append(event)
    yield chain


def _cut(chain: Sequence[Event]) -> Session:
    held = [event for event in chain if event.at - chain[0].at <= CAP]
    return Session(held, is_over_cap=len(held) < len(chain))


def fct_sessions(all_sessions: Iterable[Session], history: History) -> list[Row]:
    return [
        {
            **session.row(),
            "as_of_batch_seq": history.stamps[session.day]["sessions_batch_seq"],
        }
        for session in all_sessions
    ]


def funnel(events: Iterable[Event], all_sessions: Iterable[Session], history: History) -> list[Row]:
    good = by_key((event for event in events if not event.is_error), "user", "day")
    # For each scope and date the users, and for each user the times at which each try took a step.
    tries: dict[tuple[str, date], dict[str, list[list[datetime]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (user, day), own in good.items():
        tries["day", day][user].append(_steps(own))
        week = [event for n in range(7) for event in good.get((user, day + n * DAY), [])]
        if any(event.activity == "view" for event in own):
            tries["week", day][user].append(_steps(week))
    for session in all_sessions:
        if not session.is_over_cap:
            own = [event for event in session.events if not event.is_error]
            tries["session", session.day][session.user].append(_steps(own))
    rows = []
    for day in history.days:
        for scope, days in (("session", 2), ("day", 1), ("week", 7)):
            trust = history.trust(day, day + (days - 1) * DAY, "next_7_days_batch_seq", stamped=day)
            rows += [
                {"metric_date": day, "funnel": "purchase", "scope": scope, **row, **trust}
                for row in _reached(tries[scope, day])
            ]
    return rows


def _steps(own: Iterable[Event]) -> list[datetime]:
    """Return when each step was first taken after the one before it, as far as they were."""
    times: list[datetime] = []
    for event in in_order(own):
        if len(times) < len(STEPS) and event.activity == STEPS[len(times)]:
            times.append(event.at)
    return times


def _reached(tries: dict[str, list[list[datetime]]]) -> Iterator[Row]:
    counts: list[int] = []
    for number, step in enumerate(STEPS, start=1):
        fastest = []
        for of_user in tries.values():
            took = [milliseconds(t[0], t[number - 1]) for t in of_user if len(t) >= number]
            if took:
                fastest.append(min(took) / 1000)
        counts.append(len(fastest))
        yield {
            "step_number": number,
            "step": step,
            "user_count": len(fastest),
            "step_rate": rate(counts[-1], counts[-2]) if number > 1 else None,
            "overall_rate": rate(counts[-1], counts[0]),
            "p50_seconds_to_step": nearest_rank(fastest, 50) if number > 1 else None,
        }
