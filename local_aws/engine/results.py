"""Values as Athena prints them, in GetQueryResults and in the result file alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from local_aws.engine.types import Type

Row = list[str | None]


def formatter(kind: Type) -> Callable[[Any], str]:
    """How a value that is not null is printed."""
    name = kind.name
    if name == "boolean":
        return lambda v: "true" if v else "false"
    if name == "double":
        return double_text
    if name == "real":
        return real_text
    if name == "timestamp":
        return _timestamp(max(3, kind.numbers[0]))
    if name == "timestamptz":
        return _zoned(max(3, kind.numbers[0]))
    if name == "time":
        end = 8 + (kind.numbers[0] + 1 if kind.numbers[0] else 0)
        return lambda v: f"{v:%H:%M:%S.%f}"[:end]
    if name == "char":
        return lambda v: v.ljust(kind.numbers[0])
    if name == "varbinary":
        return lambda v: bytes(v).hex(" ")
    if name == "array":
        return _array(formatter(kind.of[0]))
    if name == "map":
        return _map(formatter(kind.of[0]), formatter(kind.of[1]))
    if name == "row":
        return _row(kind)
    if name == "interval_day_to_second":
        return _day_to_second
    if name == "interval_year_to_month":
        return lambda v: f"{'-' if v < 0 else ''}{abs(v) // 12}-{abs(v) % 12}"
    if name == "decimal":
        return lambda v: format(v, "f")
    return str


def double_text(value: float) -> str:
    """As Java's Double.toString."""
    return _java(repr(float(value)))


def real_text(value: float) -> str:
    """As Java's Float.toString: the fewest digits that give the same 32 bits."""
    packed = struct.pack("f", value)
    for digits in range(1, 10):
        shown = f"{value:.{digits}g}"
        if struct.pack("f", float(shown)) == packed:
            return _java(repr(float(shown)))
    return _java(repr(value))


def scientific(value: Decimal, places: int = 19) -> str:
    """As a cast to varchar writes floating-point numbers: ``1.5E0``."""
    sign, digits, exponent = value.normalize().as_tuple()
    point = len(digits) + int(exponent) - 1 if value else 0
    number = Decimal((sign, digits, 1 - len(digits))).quantize(Decimal(1).scaleb(-places))
    text = f"{number:f}".rstrip("0")
    return f"{text}0E{point}" if text.endswith(".") else f"{text}E{point}"


def _java(shown: str) -> str:
    if shown in ("nan", "inf", "-inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[shown]
    sign = "-" if shown.startswith("-") else ""
    mantissa, _, exponent = shown.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    point = len(whole) - (len(whole + fraction) - len(digits)) + int(exponent or 0)
    digits = digits.rstrip("0") or "0"
    if -3 < point <= 7:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        padded = digits.ljust(point, "0")
        return f"{sign}{padded[:point]}.{padded[point:] or '0'}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{point - 1}"


def _timestamp(digits: int) -> Callable[[datetime], str]:
    cut = 26 - (6 - digits)
    return lambda v: f"{v:%Y-%m-%d %H:%M:%S.%f}".rjust(26, "0")[:cut]


def _zoned(digits: int) -> Callable[[dict[str, Any]], str]:
    plain = _timestamp(digits)

    def show(value: dict[str, Any]) -> str:
        zone = value["z"]
        moment = value["i"].replace(tzinfo=UTC).astimezone(_zone(zone))
        return f"{plain(moment.replace(tzinfo=None))} {zone}"

    return show


def _zone(name: str) -> timezone | ZoneInfo:
    if name[0] in "+-":
        offset = timedelta(hours=int(name[1:3]), minutes=int(name[4:6]))
        return timezone(-offset if name[0] == "-" else offset)
    return ZoneInfo(name)


def _array(inner: Callable[[Any], str]) -> Callable[[list[Any]], str]:
    return lambda v: "[" + ", ".join("null" if x is None else inner(x) for x in v) + "]"


def _map(
    key: Callable[[Any], str], inner: Callable[[Any], str]
) -> Callable[[Sequence[tuple[Any, Any]]], str]:
    return lambda v: (
        "{" + ", ".join(f"{key(k)}={'null' if x is None else inner(x)}" for k, x in v) + "}"
    )


def _row(kind: Type) -> Callable[[dict[str, Any]], str]:
    parts = [(name, formatter(t)) for name, t in zip(kind.struct_names, kind.of, strict=True)]

    def show(value: dict[str, Any]) -> str:
        cells = (
            f"{name}={'null' if value[name] is None else inner(value[name])}"
            for name, inner in parts
        )
        return "{" + ", ".join(cells) + "}"

    return show


def _day_to_second(value: int) -> str:
    sign, value = ("-" if value < 0 else ""), abs(value)
    seconds, millis = divmod(value, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{sign}{days} {hour:02d}:{minute:02d}:{second:02d}.{millis:03d}"


def rows_of(batches: Any, kinds: list[Type]) -> Iterator[Row]:
    """Formatted rows of a reader of Arrow batches."""
    formatters = [formatter(kind) for kind in kinds]
    for batch in batches:
        columns = []
        for column, show in zip(batch.columns, formatters, strict=True):
            cells = column.to_pylist()
            columns.append([None if cell is None else show(cell) for cell in cells])
        yield from map(list, zip(*columns, strict=True))


def column_info(name: str, kind: Type) -> dict[str, Any]:
    """ColumnInfo of GetQueryResults."""
    shown = {"real": "float", "timestamptz": "timestamp with time zone"}.get(kind.name, kind.name)
    shown = shown.replace("_", " ")
    precision, scale = _PRECISION.get(kind.name, (0, 0))
    if kind.name == "decimal":
        precision, scale = kind.numbers
    elif (kind.name in ("varchar", "char") and kind.numbers) or kind.name in (
        "timestamp",
        "timestamptz",
    ):
        precision = kind.numbers[0]
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": shown,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind.name in ("varchar", "char"),
    }


_PRECISION = {
    "varchar": (2147483647, 0), "tinyint": (3, 0), "smallint": (5, 0), "integer": (10, 0),
    "bigint": (19, 0), "double": (17, 0), "real": (17, 0), "varbinary": (1073741824, 0),
}  # fmt: skip


def csv_lines(names: list[str], rows: Iterator[Row] | list[Row]) -> Iterator[str]:
    """The result file: every value quoted, null as nothing at all."""
    yield ",".join(_quoted(name) for name in names) + "\n"
    for row in rows:
        yield ",".join("" if cell is None else _quoted(cell) for cell in row) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def read_csv(text: str) -> Iterator[Row]:
    """The rows of a result file, its header too."""
    at, size = 0, len(text)
    row: Row = []
    while at < size:
        if text[at] == '"':
            end = at + 1
            while True:
                end = text.index('"', end)
                if text[end + 1 : end + 2] != '"':
                    break
                end += 2
            row.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            row.append(None)
        if text[at : at + 1] == "\n":
            yield row
            row = []
            at += 1
        else:
            at += 1
