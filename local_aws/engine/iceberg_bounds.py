"""What an Iceberg manifest says of a data file's values: bounds, nulls, partition."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from pyiceberg import types as it
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import (
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    YearTransform,
)

from local_aws.engine.predicates import Bounds

EPOCH = datetime(1970, 1, 1)


class FileBounds:
    """Bounds of the columns of a table's data files; None where nothing certain is known."""

    def __init__(self, metadata: TableMetadata, schema: Schema) -> None:
        self._schema = schema
        specs = metadata.specs()
        self._partitions = {
            (spec_id, field.source_id): (position, field.transform)
            for spec_id, spec in specs.items()
            for position, field in enumerate(spec.fields)
            if _is_known(field.transform)
        }

    def partition_value(self, file: Any, number: int) -> tuple[Any] | None:
        """The one value that a column has in a file, if the table is partitioned by it."""
        field = self._schema.fields[number]
        where = self._partitions.get((file.spec_id, field.field_id))
        if where is None or not isinstance(where[1], IdentityTransform):
            return None
        value = file.partition[where[0]]
        if isinstance(value, int) and isinstance(
            field.field_type, it.DateType | it.TimestampType | it.TimestamptzType
        ):
            value = _time(field.field_type, value)
        return (value,)

    def of(self, file: Any, number: int, struct_field: str = "") -> Bounds | None:
        """Of the ``number``-th column; our times with zone are a struct whose ``i`` is in UTC."""
        if number >= len(self._schema.fields):
            hidden = number - len(self._schema.fields)  # the first one is $path
            return Bounds(file.file_path, file.file_path, no_null=True) if hidden == 0 else None
        field = self._schema.fields[number]
        kind = field.field_type
        if (struct_field == "i") != isinstance(kind, it.TimestamptzType):
            return None
        if struct_field not in ("", "i") or not _is_ordered(kind):
            return None
        counts, nulls = file.value_counts or {}, file.null_value_counts or {}
        total, null = counts.get(field.field_id), nulls.get(field.field_id)
        low = _value(kind, (file.lower_bounds or {}).get(field.field_id))
        high = _value(kind, (file.upper_bounds or {}).get(field.field_id))
        where = self._partitions.get((file.spec_id, field.field_id))
        if where is not None:
            value = file.partition[where[0]]
            if value is None:
                return Bounds(all_null=True)
            first, last = _span(where[1], kind, value)
            low = first if low is None or (first is not None and first > low) else low
            high = last if high is None or (last is not None and last < high) else high
        return Bounds(
            low, high, all_null=total is not None and total > 0 and null == total,
            no_null=null == 0,
        )  # fmt: skip


def _is_known(transform: Any) -> bool:
    return isinstance(
        transform, IdentityTransform | YearTransform | MonthTransform | DayTransform | HourTransform
    )


def _is_ordered(kind: Any) -> bool:
    return isinstance(
        kind,
        it.DateType | it.TimestampType | it.TimestamptzType | it.IntegerType | it.LongType
        | it.StringType,
    )  # fmt: skip


def _value(kind: Any, data: bytes | None) -> Any:
    if data is None:
        return None
    if isinstance(kind, it.StringType):
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None
    number = int.from_bytes(data, "little", signed=True)
    wanted = 4 if isinstance(kind, it.DateType) else 8
    if isinstance(kind, it.IntegerType | it.LongType):
        return number  # a column that was an integer and is a bigint now has four bytes
    return _time(kind, number) if len(data) == wanted else None


def _time(kind: Any, number: int) -> Any:
    """Days as a date, microseconds as a timestamp; None beyond Python's years."""
    try:
        if isinstance(kind, it.DateType):
            return date(1970, 1, 1) + timedelta(days=number)
        return EPOCH + timedelta(microseconds=number)
    except OverflowError:
        return None


def _span(transform: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """First and last value that a partition may hold."""
    if isinstance(transform, IdentityTransform):
        if isinstance(value, int) and not isinstance(kind, it.IntegerType | it.LongType):
            value = _time(kind, value)
        same = isinstance(value, int | str | date) and not isinstance(value, bool)
        return (value, value) if same else (None, None)
    # Some writers round times before 1970 up instead of down.
    first, last = (value - 1 if value <= 0 else value), value + 1
    try:
        ends = [_start(transform, first), _start(transform, last)]
    except (OverflowError, ValueError):
        return None, None
    if isinstance(kind, it.DateType):
        return ends[0].date(), (ends[1] - timedelta(days=1)).date()
    return ends[0], ends[1] - timedelta(microseconds=1)


def _start(transform: Any, value: int) -> datetime:
    if isinstance(transform, YearTransform):
        return datetime(1970 + value, 1, 1)
    if isinstance(transform, MonthTransform):
        return datetime(1970 + value // 12, value % 12 + 1, 1)
    if isinstance(transform, DayTransform):
        return EPOCH + timedelta(days=value)
    return EPOCH + timedelta(hours=value)
