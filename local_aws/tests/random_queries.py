"""Random queries over the tables of test_athena_pruning: ``{h}`` and ``{i}`` stand for them."""

import random

KINDS = ["inner", "left", "right", "full"]


def predicate(chance: random.Random, columns: dict[str, list[str]], depth: int = 2) -> str:
    """A condition over columns, each with literals that are like its values."""
    if depth and chance.random() < 0.5:
        parts = [predicate(chance, columns, depth - 1) for _ in range(chance.randint(2, 3))]
        joined = chance.choice([" and ", " or "]).join(parts)
        return f"({joined})" if chance.random() < 0.7 else f"(not ({joined}))"
    column = chance.choice(list(columns))
    values = columns[column]
    pick = lambda: chance.choice(values)  # noqa: E731
    form = chance.randrange(8)
    if form < 3:
        return f"{column} {chance.choice(['=', '<', '<=', '>', '>=', '<>'])} {pick()}"
    if form == 3:
        listed = [pick() for _ in range(chance.randint(1, 4))]
        listed += ["null"] if chance.random() < 0.1 else []
        return f"{column} {chance.choice(['in', 'not in'])} ({', '.join(listed)})"
    if form == 4:
        return f"{column} {chance.choice(['', 'not '])}between {pick()} and {pick()}"
    if form == 5:
        return f"{column} is {chance.choice(['', 'not '])}null"
    if form == 6:
        return f"{column} is {chance.choice(['', 'not '])}distinct from {pick()}"
    return f"coalesce({column}, {pick()}) = {pick()}"


def _columns(table: str, alias: str) -> dict[str, list[str]]:
    found = {
        f"{alias}.n": [str(n) for n in range(0, 700, 23)],
        f"{alias}.kind": [f"'k{n}'" for n in range(8)],
    }
    days = [f"2024-01-{day:02d}" for day in range(1, 7)]
    if table == "{h}":
        found[f"{alias}.dt"] = [f"'{day}'" for day in days]
        found[f"try_cast({alias}.dt as date)"] = [f"date '{day}'" for day in days]
    else:
        found[f"{alias}.day"] = [
            f"date '2024-{m:02d}-{d:02d}'" for m in range(1, 8) for d in (1, 9)
        ]
        found[f"{alias}.at"] = [f"timestamp '{day} 00:00:00'" for day in days]
        found[f"cast({alias}.at as date)"] = [f"date '{day}'" for day in days]
    return found


def query(chance: random.Random) -> str:
    """A query that gives one row of sums."""
    tables = [chance.choice(["{h}", "{i}"]) for _ in range(2)]
    form = chance.randrange(5)
    one, other = _columns(tables[0], "a"), _columns(tables[1], "b")
    key = "dt" if tables[0] == "{h}" else "day"
    if form == 0:
        return (
            f"select count(*), sum(a.n) from {tables[0]} as a where {predicate(chance, one)}"
        )  # fmt: skip
    if form == 1:
        window = chance.choice([f"partition by {key} order by n", "partition by kind order by n"])
        limit = chance.choice(["", "", " order by n limit 300"])
        return (
            f"with w as (select *, row_number() over ({window}) as r, lag(n) over ({window}) as l "
            f"from {tables[0]}{limit}) select count(*), sum(a.n), sum(a.l) from w as a "
            f"where {predicate(chance, one)} and a.r < {chance.randint(1, 90)}"
        )
    if form == 2:
        return (
            f"with w as (select {key}, kind, max(n) as n, min(n) as m from {tables[0]} "
            f"group by {key}, kind) select count(*), sum(n), sum(m) from (select n, m from w as a "
            f"where {group_predicate(chance, key)} union all select n, m from w as a "
            f"where {group_predicate(chance, key)})"
        )
    kind = chance.choice(KINDS)
    on = "a.n = b.n" if chance.random() < 0.7 else "a.n = b.n + 7 and a.kind <> b.kind"
    more = f" and {predicate(chance, {**one, **other})}" if chance.random() < 0.5 else ""
    where = f" where {predicate(chance, {**one, **other})}" if chance.random() < 0.8 else ""
    return (
        f"select count(*), count(a.n), sum(a.n), sum(b.n), sum(a.n * b.n) from (select * from "
        f"{tables[0]}) as a {kind} join {tables[1]} as b on {on}{more}{where}"
    )


def group_predicate(chance: random.Random, key: str) -> str:
    """A condition over what ``form 2`` groups by."""
    table = "{h}" if key == "dt" else "{i}"
    columns = {k: v for k, v in _columns(table, "a").items() if key in k or "kind" in k}
    return predicate(chance, columns, 1)
