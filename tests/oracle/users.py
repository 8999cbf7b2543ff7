"""Users: what each did on each day, who they are, and how many of them there are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

from tests.oracle.dates import History
from tests.oracle.lake import (
    DAY,
    Event,
    Row,
    by_key,
    dates_between,
    in_order,
    nearest_rank,
    rate,
)
from tests.oracle.sessions import GAP, Session


def user_days(events: Iterable[Event], sessions: Iterable[Session], history: History) -> list[Row]:
    started = Counter((session.user, session.day) for session in sessions)
    return [
        _user_day(in_order(own), started[user, day], history)
        for (user, day), own in by_key(events, "user", "day").items()
    ]


def _user_day(own: Sequence[Event], session_count: int, history: History) -> Row:
    first, count = own[0], len(own)
    errors = sum(event.is_error for event in own)
    activities = Counter(event.activity for event in own)
    known = {name: activities[name] for name in ("view", "cart", "purchase")}
    routes = Counter(event.route for event in own if event.route is not None)
    minutes = Counter(event.at.replace(second=0, microsecond=0) for event in own)
    hours = {event.at.replace(minute=0, second=0, microsecond=0) for event in own}
    gaps = [after.at - before.at for before, after in pairwise(own)]
    busy = sum(in_minute > 60 for in_minute in minutes.values())
    top = max(routes.values(), default=0)
    stamp = history.stamps[first.day]["sessions_batch_seq"]
    return {
        "user_id": first.user,
        "event_date": first.day,
        "event_count": count,
        "active_event_count": count - errors,
        "error_count": errors,
        "view_count": known["view"],
        "cart_count": known["cart"],
        "purchase_count": known["purchase"],
        "other_count": count - sum(known.values()),
        "route_count": len(routes),
        "session_count": session_count,
        "active_seconds": sum(gap // timedelta(milliseconds=1) for gap in gaps if gap <= GAP)
        / 1000,
        "first_activity": first.activity,
        "busy_minute_count": busy,
        "active_hour_count": len(hours),
        "top_route_event_count": top,
        "is_active": errors < count,
        "is_suspected_bot": busy >= 5
        or len(hours) > 18
        or (count > 500 and 100 * top > 95 * count),
        "first_event_at": first.at,
        "last_event_at": own[-1].at,
        "as_of_batch_seq": stamp,
    }


class Activity:
    """Who was active when; a day is active with at least one record that is no error."""

    def __init__(self, days: Iterable[Row]) -> None:
        self.users_on: dict[date, set[str]] = defaultdict(set)
        self.days_of: dict[str, set[date]] = defaultdict(set)
        for row in days:
            if row["is_active"]:
                self.users_on[row["event_date"]].add(row["user_id"])
                self.days_of[row["user_id"]].add(row["event_date"])
        self.first_day = {user: min(own) for user, own in self.days_of.items()}
        self.new_on: dict[date, set[str]] = defaultdict(set)
        for user, day in self.first_day.items():
            self.new_on[day].add(user)

    def within(self, first: date, last: date) -> set[str]:
        """Return the users active on at least one of these dates."""
        found: set[str] = set()
        for day in dates_between(first, last):
            found |= self.users_on.get(day, set())
        return found

    def new_within(self, first: date, last: date) -> set[str]:
        """Return the users whose first active date ever is one of these."""
        found: set[str] = set()
        for day in dates_between(first, last):
            found |= self.new_on.get(day, set())
        return found


def segment(active_days: int) -> str:
    """Name a user by active days out of 28."""
    if active_days == 0:
        return "dormant"
    if active_days <= 6:
        return "infrequent"
    if active_days <= 13:
        return "casual"
    return "regular" if active_days <= 20 else "core"


def users(days: Iterable[Row], activity: Activity, history: History) -> list[Row]:
    days_of: dict[str, list[Row]] = defaultdict(list)
    for row in days:
        days_of[row["user_id"]].append(row)
    rows = []
    for user, own in days_of.items():
        own.sort(key=lambda row: row["event_date"])
        active = activity.days_of.get(user, set())
        lately = sum(history.last - 27 * DAY <= day for day in active)
        rows.append(
            {
                "user_id": user,
                "first_seen_date": own[0]["event_date"],
                "last_seen_date": own[-1]["event_date"],
                "first_active_date": min(active, default=None),
                "last_active_date": max(active, default=None),
                "active_day_count": len(active),
                "event_count": sum(row["event_count"] for row in own),
                "purchase_count": sum(row["purchase_count"] for row in own),
                "error_count": sum(row["error_count"] for row in own),
                "first_activity": own[0]["first_activity"],
                "days_active_28": lately,
                "segment": segment(lately),
                "is_suspected_bot": any(row["is_suspected_bot"] for row in own),
            }
        )
    return rows


def activity_bits(days: Iterable[Row], activity: Activity, history: History) -> list[Row]:
    bought = {(row["user_id"], row["event_date"]) for row in days if row["purchase_count"] > 0}
    rows = []
    for user, active in activity.days_of.items():
        for metric_date in {day + n * DAY for day in active for n in range(28)}:
            if metric_date not in history:
                continue
            window = [metric_date - n * DAY for n in range(28)]
            active_ago = [n for n, day in enumerate(window) if day in active]
            bought_ago = [n for n in active_ago if (user, window[n]) in bought]
            rows.append(
                {
                    "user_id": user,
                    "metric_date": metric_date,
                    "days_active_bits": sum(2**n for n in active_ago),
                    "days_purchase_bits": sum(2**n for n in bought_ago),
                    "days_since_active": active_ago[0],
                    "as_of_batch_seq": history.stamps[metric_date]["last_28_days_batch_seq"],
                }
            )
    return rows


def daily_active(
    days: Iterable[Row], activity: Activity, sessions: Iterable[Session], history: History
) -> list[Row]:
    rows_on: dict[date, list[Row]] = defaultdict(list)
    for row in days:
        rows_on[row["event_date"]].append(row)
    sessions_on: dict[date, list[Row]] = defaultdict(list)
    for session in sessions:
        if not session.is_over_cap:
            sessions_on[session.day].append(session.row())
    rows = []
    for day in history.days:
        dau = len(activity.users_on.get(day, ()))
        wau = len(activity.within(day - 6 * DAY, day))
        mau = len(activity.within(day - 27 * DAY, day))
        new = len(activity.new_on.get(day, ()))
        active_events = sum(row["active_event_count"] for row in rows_on[day])
        own = sessions_on[day]
        durations = [session["duration_seconds"] for session in own]
        month = [len(activity.users_on.get(day - n * DAY, ())) for n in range(28)]
        is_whole = history.is_complete(day, 28)
        rows.append(
            {
                "metric_date": day,
                "dau": dau,
                "wau": wau,
                "mau": mau,
                "dau_mau": rate(dau, mau),
                "dau_wau": rate(dau, wau),
                "mean_dau_mau": rate(float(sum(month)) / 28, mau) if is_whole else None,
                "new_user_count": new,
                "returning_user_count": dau - new,
                "event_count": sum(row["event_count"] for row in rows_on[day]),
                "active_event_count": active_events,
                "events_per_dau": rate(active_events, dau),
                "session_count": len(own),
                "sessions_per_dau": rate(len(own), dau),
                "session_p50_seconds": nearest_rank(durations, 50),
                "session_p90_seconds": nearest_rank(durations, 90),
                "bounce_rate": rate(sum(session["is_bounce"] for session in own), len(own)),
                "is_wau_complete": history.is_complete(day, 7),
                "is_mau_complete": is_whole,
                **history.trust(day, day, "sessions_batch_seq", "last_28_days_batch_seq"),
            }
        )
    return rows


def growth(activity: Activity, history: History) -> list[Row]:
    rows = []
    for end in history.days:
        periods = [("day", 1), ("28d", 28)]
        if end.isoweekday() == 7:
            periods.append(("week", 7))
        for period, length in periods:
            start = end - (length - 1) * DAY
            prior_start = start - length * DAY
            now = activity.within(start, end)
            before = activity.within(prior_start, start - DAY)
            new = activity.new_within(start, end)
            retained = len(now & before)
            churned = len(before - now)
            resurrected = len(now - before - new)
            rows.append(
                {
                    "period": period,
                    "period_start_date": start,
                    "period_end_date": end,
                    "active_user_count": len(now),
                    "prior_active_user_count": len(before),
                    "new_user_count": len(new),
                    "retained_user_count": retained,
                    "resurrected_user_count": resurrected,
                    "churned_user_count": churned,
                    "quick_ratio": rate(len(new) + resurrected, churned),
                    "retention_rate": rate(retained, len(before)),
                    "churn_rate": rate(churned, len(before)),
                    "is_complete": prior_start >= history.first,
                    **history.trust(start, end, "last_56_days_batch_seq", stamped=end),
                }
            )
    return rows


def frequency(activity: Activity, history: History) -> list[Row]:
    rows = []
    for day in history.days:
        days_active: Counter[str] = Counter()
        for n in range(28):
            days_active.update(activity.users_on.get(day - n * DAY, ()))
        users_with: Mapping[int, int] = Counter(days_active.values())
        for count in range(1, 29):
            rows.append(
                {
                    "metric_date": day,
                    "active_day_count": count,
                    "segment": segment(count),
                    "user_count": users_with.get(count, 0),
                    "share_of_users": rate(users_with.get(count, 0), len(days_active)),
                    "is_complete": history.is_complete(day, 28),
                    **history.trust(day, day, "last_28_days_batch_seq"),
                }
            )
    return rows
