"""Where a table's files are: the one place, Glue's partitions, or projected ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from local_aws.engine.errors import QueryError
from local_aws.engine.projection import projection
from local_aws.glue import Catalog, Json
from local_aws.store import ObjectInfo, Store

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive writes for null."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Values of the partition columns, and how to find its files: few of many are asked for."""

    values: tuple[str, ...]
    find: Callable[[], Iterator[tuple[str, ObjectInfo]]]
    """Each file, with the prefix that all files of its place have."""


def location_of(uri: str) -> tuple[str, str]:
    """Bucket and prefix (with its slash) of a location."""
    try:
        bucket, key = Store.parse_uri(uri)
    except ValueError as error:
        raise QueryError("INVALID_TABLE_PROPERTY", f"Location {error}") from None
    return bucket, key if not key or key.endswith("/") else key + "/"


def find_partitions(store: Store, catalog: Catalog, table: Json) -> list[Partition]:
    """All partitions; an unpartitioned table is one without values."""
    keys = [k["Name"].lower() for k in table.get("PartitionKeys") or []]
    location = str((table.get("StorageDescriptor") or {}).get("Location") or "")
    if not keys:
        return [Partition((), partial(_listed, store, location))]
    parameters = table.get("Parameters") or {}
    if str(parameters.get("projection.enabled", "")).lower() == "true":
        return _projected(store, table, keys, location)
    return [
        Partition(values, partial(_listed, store, place))
        for values, place in catalog.partition_places(table["DatabaseName"], table["Name"])
    ]


def _listed(store: Store, *locations: str) -> Iterator[tuple[str, ObjectInfo]]:
    for location in locations:
        bucket, prefix = location_of(location)
        for info in store.list(bucket, prefix):
            yield prefix, info


def _projected(store: Store, table: Json, keys: list[str], location: str) -> list[Partition]:
    """Only partitions that have a file are listed: the others could not give a row."""
    parameters = {str(k).lower(): str(v) for k, v in table["Parameters"].items()}
    template = parameters.get("storage.location.template")
    if template is None:
        template = location.rstrip("/") + "/" + "/".join(f"{k}=${{{k}}}" for k in keys) + "/"
    bucket, key = Store.parse_uri(template)
    if not key.endswith("/"):
        key += "/"
    checks = [projection(parameters, name) for name in keys]
    parts = re.split(r"\$\{(\w+)\}", key)
    pattern = re.escape(parts[0])
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        if name.lower() not in keys:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", f"storage.location.template names no column {name}"
            )
        pattern += f"(?P<{name.lower()}>[^/]+){re.escape(rest)}"
    missing = [name for name in keys if name not in [found.lower() for found in parts[1::2]]]
    if missing:
        raise QueryError(
            "INVALID_TABLE_PROPERTY", f"storage.location.template lacks ${{{missing[0]}}}"
        )
    matcher = re.compile(pattern)
    places = {found.rpartition("/")[0] + "/" for found in store.keys(bucket, parts[0])}
    folders = {match.group(): match for place in sorted(places)
               if (match := matcher.match(place))}  # fmt: skip
    groups: dict[tuple[str, ...], list[str]] = {}
    for folder, match in folders.items():
        values = tuple(unquote(match[name]) for name in keys)
        if all(check(value) for check, value in zip(checks, values, strict=True)):
            groups.setdefault(values, []).append(f"s3://{bucket}/{folder}")
    return [
        Partition(values, partial(_listed, store, *places)) for values, places in groups.items()
    ]


def injected_columns(table: Json) -> list[str]:
    """Partition columns whose values only a query can tell."""
    parameters = {str(k).lower(): str(v) for k, v in (table.get("Parameters") or {}).items()}
    if parameters.get("projection.enabled", "").lower() != "true":
        return []
    keys = [k["Name"].lower() for k in table.get("PartitionKeys") or []]
    kinds = {k: parameters.get(f"projection.{k}.type", "").strip().lower() for k in keys}
    return [k for k in keys if kinds[k] == "injected"]


_ESCAPED = re.compile(r"""[\x01-\x1f"#%'*/:=?\\\x7f{\[\]^]""")
"""What Hive writes as ``%XX`` in the name of a folder."""


def partition_path(names: list[str], values: list[str]) -> str:
    """``a=1/b=2/`` as Hive escapes it."""
    return "".join(
        f"{name}={_ESCAPED.sub(lambda m: f'%{ord(m[0]):02X}', value)}/"
        for name, value in zip(names, values, strict=True)
    )
