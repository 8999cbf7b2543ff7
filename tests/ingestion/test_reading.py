import threading
from collections.abc import Generator

import pytest

from ingestion.sources.reading import ahead

SECONDS = 30


def counted(end: int, made: list[int], closed: threading.Event) -> Generator[int, None, None]:
    try:
        for number in range(end):
            made.append(number)
            yield number
    finally:
        closed.set()


def test_ahead_yields_the_same_in_the_same_order():
    closed = threading.Event()

    assert list(ahead(counted(100, [], closed))) == list(range(100))
    assert closed.wait(SECONDS)


def test_ahead_makes_the_next_item_while_this_one_is_worked_on_and_no_more():
    made: list[int] = []
    second = threading.Event()

    def items() -> Generator[int, None, None]:
        for number in range(10):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    reading = ahead(items())
    assert next(reading) == 0

    assert second.wait(SECONDS), "nothing was made while the first item was worked on"
    threading.Event().wait(0.2)
    assert made == [0, 1], "memory would not be bounded"
    assert list(reading) == list(range(1, 10))


def test_ahead_raises_behind_the_items_that_came_before():
    def items() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise ValueError("broken")

    reading = ahead(items())

    assert [next(reading), next(reading)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(reading)


def test_ahead_begins_nothing_more_when_its_reader_has_gone():
    made: list[int] = []
    closed = threading.Event()
    reading = ahead(counted(1_000, made, closed))
    next(reading)

    reading.close()  # type: ignore[attr-defined]

    assert closed.wait(SECONDS), "the connection would stay open"
    assert len(made) <= 3
