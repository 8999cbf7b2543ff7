"""Where a table's files are: the one place, Glue's partitions, or projected ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote

from local_aws.engine.errors import QueryError, refuse
from local_aws.glue import Catalog, Json
from local_aws.store import ObjectInfo, Store

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive writes for null."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Values of the partition columns, and how to list its files."""

    values: tuple[str, ...]
    prefix: str
    files: Callable[[], list[ObjectInfo]]


def location_of(uri: str) -> tuple[str, str]:
    """Bucket and prefix (with its slash) of a location."""
    bucket, key = Store.parse_uri(uri)
    return bucket, key if not key or key.endswith("/") else key + "/"


def find_partitions(store: Store, catalog: Catalog, table: Json) -> list[Partition]:
    """All partitions; an unpartitioned table is one without values."""
    keys = [k["Name"].lower() for k in table.get("PartitionKeys") or []]
    location = str((table.get("StorageDescriptor") or {}).get("Location") or "")
    if not keys:
        bucket, prefix = location_of(location)
        return [Partition((), prefix, lambda: store.list(bucket, prefix))]
    parameters = table.get("Parameters") or {}
    if str(parameters.get("projection.enabled", "")).lower() == "true":
        return _projected(store, table, keys, location)
    found = []
    for partition in catalog.partitions(table["DatabaseName"], table["Name"]):
        bucket, prefix = location_of(partition["StorageDescriptor"]["Location"])
        found.append(
            Partition(
                tuple(partition["Values"]), prefix,
                lambda bucket=bucket, prefix=prefix: store.list(bucket, prefix),  # type: ignore[misc]
            )
        )  # fmt: skip
    return found


def _projected(store: Store, table: Json, keys: list[str], location: str) -> list[Partition]:
    """Only partitions that have a file are listed: the others could not give a row."""
    parameters = {str(k).lower(): str(v) for k, v in table["Parameters"].items()}
    template = parameters.get("storage.location.template")
    if template is None:
        template = location.rstrip("/") + "/" + "/".join(f"{k}=${{{k}}}" for k in keys) + "/"
    bucket, key = Store.parse_uri(template)
    if not key.endswith("/"):
        key += "/"
    checks = [_projection(parameters, name) for name in keys]
    parts = re.split(r"\$\{(\w+)\}", key)
    pattern = re.escape(parts[0])
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        if name.lower() not in keys:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", f"storage.location.template names no column {name}"
            )
        pattern += f"(?P<{name.lower()}>[^/]+){re.escape(rest)}"
    matcher = re.compile(pattern)
    groups: dict[tuple[str, ...], tuple[str, list[ObjectInfo]]] = {}
    for info in store.list(bucket, parts[0]):
        match = matcher.match(info.key)
        if match is None:
            continue
        values = tuple(unquote(match[name]) for name in keys)
        if all(check(value) for check, value in zip(checks, values, strict=True)):
            groups.setdefault(values, (match.group(), []))[1].append(info)
    return [
        Partition(values, prefix, lambda members=members: members)  # type: ignore[misc]
        for values, (prefix, members) in groups.items()
    ]


def injected_columns(table: Json) -> list[str]:
    """Partition columns whose values only a query can tell."""
    parameters = {str(k).lower(): str(v) for k, v in (table.get("Parameters") or {}).items()}
    if parameters.get("projection.enabled", "").lower() != "true":
        return []
    keys = [k["Name"].lower() for k in table.get("PartitionKeys") or []]
    return [k for k in keys if parameters.get(f"projection.{k}.type") == "injected"]


def _projection(parameters: dict[str, str], name: str) -> Callable[[str], bool]:
    def get(option: str) -> str | None:
        return parameters.get(f"projection.{name}.{option}")

    kind = get("type")
    if kind == "enum":
        allowed = {v.strip() for v in (get("values") or "").split(",")}
        return lambda value: value in allowed
    if kind == "integer":
        low, high = (int(v) for v in (get("range") or "").split(","))
        digits, step = int(get("digits") or 0), int(get("interval") or 1)

        def fits(value: str) -> bool:
            if not re.fullmatch(r"-?\d+", value):
                return False
            number = int(value)
            return (
                low <= number <= high
                and (number - low) % step == 0
                and value == str(number).zfill(digits)
            )

        return fits
    if kind == "date":
        return _dates(name, get("format") or "", get("range") or "")
    if kind == "injected":
        return lambda value: True
    raise QueryError(
        "INVALID_TABLE_PROPERTY",
        f"projection.{name}.type is {kind}: use enum, integer, date or injected",
    )


_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def _dates(name: str, java: str, span: str) -> Callable[[str], bool]:
    pattern = "".join(_JAVA.get(p, p) for p in re.findall(r"yyyy|MM|dd|HH|mm|ss|'[^']*'|.", java))
    pattern = pattern.replace("'", "")
    if re.search(r"(?<!%)[A-Za-z]", pattern.replace("T", "").replace("Z", "")):
        refuse(f"projection.{name}.format {java} is not supported here")
    try:
        low, high = (_bound(v.strip(), pattern) for v in span.split(","))
    except ValueError:
        raise QueryError(
            "INVALID_TABLE_PROPERTY", f"projection.{name}.range {span} does not fit {java}"
        ) from None

    def fits(value: str) -> bool:
        try:
            moment = datetime.strptime(value, pattern)
        except ValueError:
            return False
        return low <= moment <= high and moment.strftime(pattern) == value

    return fits


def _bound(shown: str, pattern: str) -> datetime:
    match = re.fullmatch(r"NOW(?:([+-])(\d+)(YEAR|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?)?", shown)
    if match is None:
        return datetime.strptime(shown, pattern)
    now = datetime.now(UTC).replace(tzinfo=None)
    if match[1] is None:
        return now
    count = int(match[2]) * (1 if match[1] == "+" else -1)
    if match[3] in ("YEAR", "MONTH"):
        months = now.year * 12 + now.month - 1 + count * (12 if match[3] == "YEAR" else 1)
        last = (date(months // 12 + (months % 12 == 11), (months + 1) % 12 + 1, 1)
                - timedelta(days=1)).day  # fmt: skip
        return now.replace(year=months // 12, month=months % 12 + 1, day=min(now.day, last))
    return now + timedelta(**{match[3].lower() + "s": count})


_ESCAPED = re.compile(r"""[\x01-\x1f"#%'*/:=?\\\x7f{\[\]^]""")
"""What Hive writes as ``%XX`` in the name of a folder."""


def partition_path(names: list[str], values: list[str]) -> str:
    """``a=1/b=2/`` as Hive escapes it."""
    return "".join(
        f"{name}={_ESCAPED.sub(lambda m: f'%{ord(m[0]):02X}', value)}/"
        for name, value in zip(names, values, strict=True)
    )
