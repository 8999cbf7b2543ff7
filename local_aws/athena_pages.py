"""Paging of Athena's lists: a token is the offset of the next page."""

from __future__ import annotations

from typing import Any

from local_aws.athena_errors import invalid_request
from local_aws.glue import Json


def paged(items: list[Any], payload: Json, default: int = 50) -> tuple[list[Any], Json]:
    """One page, and what the answer says of the next."""
    start, size = bounds(payload, default)
    return items[start : start + size], next_token(start + size, start + size < len(items))


def bounds(payload: Json, default: int = 50) -> tuple[int, int]:
    """Where the page begins and how long it is; InvalidRequestException for a foreign token."""
    token = payload.get("NextToken")
    if token is not None and not str(token).isdigit():
        raise invalid_request("The NextToken is not valid.")
    return int(token or 0), int(payload.get("MaxResults") or default)


def next_token(end: int, more: bool) -> Json:
    """The token, if there is more."""
    return {"NextToken": str(end)} if more else {}
