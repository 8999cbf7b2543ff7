"""The commit that puts new data files in the place of old ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table.snapshots import Operation, Summary

from local_aws.glue import Catalog, Json
from local_aws.iceberg import conflict, load
from local_aws.store import Store


def replace(
    store: Store, catalog: Catalog, glue: Json, old: list[Any], new: list[Any], *,
    holds_same_rows: bool = False,
) -> None:  # fmt: skip
    """Commit new files in the place of old ones; ICEBERG_COMMIT_ERROR if the table moved on.

    With the same rows, the snapshot is a ``replace``, as Athena's OPTIMIZE makes it.
    """
    table = load(store, catalog, glue, strict=True)
    try:
        with table.transaction() as change, change.update_snapshot().overwrite() as update:
            if holds_same_rows:  # pyiceberg has no rewriting of its own
                update._summary = partial(_as_replacement, update._summary)
            for file in old:
                update.delete_data_file(file)
            for file in new:
                update.append_data_file(file)
    except (CommitFailedException, ValidationException):
        raise conflict(glue["DatabaseName"], glue["Name"]) from None


def _as_replacement(summary: Callable[..., Summary], *words: Any) -> Summary:
    told = summary(*words).model_dump()
    return Summary(**(told | {"operation": Operation.REPLACE}))
