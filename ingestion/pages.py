"""Envelopes of a JSON array as columns over its bytes: no object is made unless asked for. Pure.

An array is read so if each of its elements has exactly the source's own form, and only by the
compiled kernel; ``records.parse`` reads all others.
"""

from collections.abc import Sequence
from typing import Self, overload

import msgspec
import pyarrow as pa

from ingestion import kernel
from ingestion.tokens import Tokens


class Page(Sequence[object]):
    """What ``json.loads`` would make of an array, one element at a time, from the front."""

    __slots__ = ("_begins", "_body", "_ends", "columns")

    def __init__(self, body: bytes, columns: kernel.Columns) -> None:
        self._body = body
        self.columns = columns
        self._begins, self._ends = kernel.numbers(columns.begins), kernel.numbers(columns.ends)

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """Read an array; None if one of its elements has another form."""
        columns = kernel.LIBRARY.scan(body) if kernel.LIBRARY else None
        return None if columns is None else cls(body, columns)

    @property
    def tokens(self) -> Tokens:
        """The member ``data`` of each."""
        columns = self.columns
        return Tokens(pa.py_buffer(self._body), columns.token_at, columns.token_sizes)

    def __len__(self) -> int:
        return len(self.columns.ids)

    @overload
    def __getitem__(self, place: int) -> object: ...

    @overload
    def __getitem__(self, place: slice) -> "Page": ...

    def __getitem__(self, place: int | slice) -> object:
        if isinstance(place, slice):
            return Page(self._body, self.columns.part(place))
        # Of this form, its values are those of ``json.loads``.
        return msgspec.json.decode(memoryview(self._body)[self._begins[place] : self._ends[place]])


def tokens_of(envelopes: Sequence[object]) -> Sequence[str]:
    """Return the token of each envelope, and nothing for what holds none."""
    if isinstance(envelopes, Page):
        return envelopes.tokens
    found = [each.get("data") if isinstance(each, dict) else None for each in envelopes]
    return [token if isinstance(token, str) else "" for token in found]
