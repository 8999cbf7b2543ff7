"""Reads ahead: the next item is on its way while this one is worked on."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Generator[T, None, None]) -> Iterator[T]:
    """Yield ``items`` in their order, with one more than is asked for in hand, never two.

    They are made by one thread, one after the other. What it raises is raised here, behind the
    items before it. Whoever stops early leaves it to end what it is at, and to close ``items``.
    """
    made: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    wanted = threading.Semaphore(2)
    is_over = threading.Event()

    def make() -> None:
        end = _End(None)
        try:
            with contextlib.closing(items):
                while wanted.acquire() and not is_over.is_set():
                    made.put(next(items))
        except StopIteration:
            pass
        except BaseException as error:
            end = _End(error)
        made.put(end)

    threading.Thread(target=make, name="ahead", daemon=True).start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
            wanted.release()
        if item.error is not None:
            raise item.error
    finally:
        is_over.set()
        wanted.release()


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
