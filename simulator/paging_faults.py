"""Faults of paging (23-31): not the page asked for, not its records, or not in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.http_faults import Exchange, HttpFault, page
from simulator.records import Record

SHIFT = 3
"""By so many records a page is displaced that changed between two reads."""

TOO_MANY = 1_000_001


def _paged(
    name: str,
    number: int,
    does: str,
    choose: Callable[[Exchange], Sequence[Record]],
    lasts: int = 1,
) -> HttpFault:
    """Return a fault of paging: other records than asked for, or in another order."""
    return HttpFault(name, (number,), does, lambda x: x.reply(x.body(choose(x))), lasts)


def _from_cache(exchange: Exchange) -> bytes:
    if not exchange.cached:
        exchange.cached.append(exchange.body())
    return exchange.cached[-1]


def _once_more(exchange: Exchange) -> Sequence[Record]:
    return exchange.earlier(exchange.limit) or exchange.records()


def _two_back(exchange: Exchange) -> Sequence[Record]:
    return exchange.earlier(2 * exchange.limit)[: exchange.limit] or exchange.records()


def _hide_last_page(exchange: Exchange) -> Sequence[Record]:
    records = exchange.records()
    return records if len(records) == exchange.limit else []


def _skip(exchange: Exchange) -> Sequence[Record]:
    records = exchange.records()
    skipped, rest = records[:SHIFT], records[SHIFT:]
    if exchange.after is None or not skipped:
        return rest
    return exchange.log.after(skipped[-1].record_id, exchange.limit)


def _overlap(exchange: Exchange) -> Sequence[Record]:
    return (exchange.earlier(SHIFT) + exchange.records())[: exchange.limit]


def _next_page(exchange: Exchange) -> Sequence[Record]:
    records = exchange.records()
    if exchange.after is None or not records:
        return records
    return exchange.log.after(records[-1].record_id, exchange.limit) or records


def _shuffle(exchange: Exchange) -> Sequence[Record]:
    records = exchange.records()
    return exchange.dice.sample(records, len(records))


def _change_key(exchange: Exchange) -> bytes:
    """Return a page whose later records are under the key that was, or is to be, the primary."""
    records = exchange.records()
    place = exchange.dice.randrange(1, len(records)) if len(records) > 1 else 0
    other = exchange.dice.choice(exchange.ring.decrypt_only)
    return page(
        exchange.envelopes(records[:place], None) + exchange.envelopes(records[place:], other)
    )


def _miscount(exchange: Exchange) -> None:
    exchange.reply(exchange.body(), headers={"X-Total-Count": str(exchange.dice.randrange(10**9))})


FAULTS = (
    HttpFault(
        "page-from-cache",
        (23,),
        "the answer before, byte by byte",
        lambda x: x.reply(_from_cache(x)),
    ),
    _paged("cursor-loop", 24, "three times the page before the cursor", _once_more, lasts=3),
    _paged("cursor-backwards", 25, "records from two pages before", _two_back),
    _paged("last-page-missing", 26, "the last page has no record", _hide_last_page),
    _paged("page-skips", 27, f"the page begins {SHIFT} records too late", _skip),
    _paged("page-overlaps", 27, f"the page begins {SHIFT} records too early", _overlap),
    HttpFault("count-lies", (28,), "X-Total-Count is any number", _miscount),
    HttpFault(
        "too-many-records",
        (29,),
        f"{TOO_MANY:,} empty records",
        lambda x: x.reply(b"[" + b"{}," * (TOO_MANY - 1) + b"{}]"),
    ),
    _paged("empty-page", 30, "[] where there are records", lambda _: []),
    _paged("page-shuffled", 31, "the records of the page in any order", _shuffle),
    _paged("page-ahead", 31, "the page after the one asked for", _next_page),
    HttpFault(
        "key-change-mid-page",
        (70,),
        "from some record on, the page is under a decrypt-only key of the ring",
        lambda x: x.reply(_change_key(x)),
        needs="decrypt-only",
    ),
    _paged("page-reversed", 107, "the page in reverse order", lambda x: x.records()[::-1]),
)
