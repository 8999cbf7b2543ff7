"""What a request to Secrets Manager says, checked before anything is done; pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from local_aws.glue import Json
from local_aws.secrets_errors import SecretsError, invalid, not_valid, wrong_state

PAGE = 100
"""Default and most secrets that a page holds."""

_MOST_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]{1,512}")
_TOKEN = re.compile(r"[A-Za-z0-9-]{32,64}")

_NOT_HERE = {
    "AddReplicaRegions": "replicas",
    "CrossAccountPrimaryARN": "replicas",
    "RotationToken": "rotation by a role",
    "Type": "external secrets",
}

_SORTS = {
    "name": "Name",
    "created-date": "CreatedDate",
    "last-changed-date": "LastChangedDate",
    "last-accessed-date": "LastAccessedDate",
}

_FILTERS: dict[str, Callable[[Json], list[str]]] = {
    "name": lambda secret: [secret["Name"]],
    "description": lambda secret: [secret.get("Description", "")],
    "tag-key": lambda secret: [str(tag.get("Key")) for tag in secret.get("Tags", ())],
    "tag-value": lambda secret: [str(tag.get("Value")) for tag in secret.get("Tags", ())],
}


def refuse_what_is_not_here(payload: Mapping[str, Any]) -> None:
    """Refuse the fields of actions that we know, where the field stands for one we do not."""
    for field, what in _NOT_HERE.items():
        if payload.get(field):
            raise invalid(f"local_aws has no {what}; leave {field} out.")


def text(payload: Mapping[str, Any], field: str) -> str:
    """A string that must be there; InvalidParameterException."""
    value = payload.get(field)
    if not isinstance(value, str) or not value or not _is_unicode(value):
        raise invalid(f"{field} must be a string that is not empty.")
    return value


def new_name(payload: Mapping[str, Any]) -> str:
    """The name of a secret to be; ValidationException."""
    name = text(payload, "Name")
    if not _NAME.fullmatch(name):
        raise not_valid(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the "
            "following: -/_+=.@!"
        )
    return name


def token(payload: Mapping[str, Any]) -> str:
    """The request's token, which becomes the id of the version that it makes."""
    given = payload.get("ClientRequestToken")
    if not isinstance(given, str):
        raise wrong_state(
            "You must provide a ClientRequestToken value. We recommend a UUID-type value."
        )
    if not _TOKEN.fullmatch(given):
        raise invalid("ClientRequestToken must be 32-64 characters long.")
    return given


def value(payload: Mapping[str, Any]) -> tuple[str, str] | None:
    """Field and content of the value that a request brings, if it brings one."""
    given = [name for name in ("SecretString", "SecretBinary") if payload.get(name) is not None]
    if not given:
        return None
    if len(given) > 1:
        raise invalid(
            "You can't specify both a binary secret value and a string secret value in the same "
            "secret."
        )
    field = given[0]
    content = text(payload, field)
    size = len(content.encode())
    if field == "SecretBinary":
        try:
            size = len(base64.b64decode(content, validate=True))
        except binascii.Error:
            raise invalid("SecretBinary must be base64.") from None
    if size > _MOST_BYTES:
        raise not_valid(
            f"1 validation error detected: Value at '{field}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_MOST_BYTES}"
        )
    return field, content


def stages(payload: Mapping[str, Any]) -> list[str]:
    """The labels that a new version is to get."""
    given = payload.get("VersionStages")
    if given is None:
        return ["AWSCURRENT"]
    if not isinstance(given, list) or not given or not all(isinstance(s, str) for s in given):
        raise invalid("VersionStages must be a list of strings.")
    return list(dict.fromkeys(given))


def about(payload: Mapping[str, Any]) -> Json:
    """What a request says of a secret, beside its value."""
    return {
        field: text(payload, field) for field in ("Description", "KmsKeyId") if payload.get(field)
    }


def tags(payload: Mapping[str, Any]) -> list[Json]:
    """The tags of a secret to be."""
    given = payload.get("Tags") or []
    if not isinstance(given, list) or not all(isinstance(tag, dict) for tag in given):
        raise invalid("Tags must be a list of objects with Key and Value.")
    return given


def window(payload: Mapping[str, Any]) -> int | None:
    """Days for which a deleted secret can be had back; None if it cannot, by ``Force…``."""
    force = payload.get("ForceDeleteWithoutRecovery")
    days = payload.get("RecoveryWindowInDays")
    if force and days is not None:
        raise invalid(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
        )
    if days is not None and not (isinstance(days, int) and 7 <= days <= 30):
        raise invalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    return None if force else days or 30


def page(payload: Mapping[str, Any], found: list[Json]) -> tuple[list[Json], str | None]:
    """Filter, sort and cut ``found`` as ListSecrets asks; the page and the token of the next."""
    size = payload.get("MaxResults", PAGE)
    if not isinstance(size, int) or not 1 <= size <= PAGE:
        raise invalid(f"MaxResults must be between 1 and {PAGE}.")
    sort = _SORTS.get(payload.get("SortBy", "created-date"))
    order = payload.get("SortOrder", "asc")
    if sort is None or order not in ("asc", "desc"):
        raise invalid("SortBy or SortOrder is none of Secrets Manager's.")
    if not payload.get("IncludePlannedDeletion"):
        found = [secret for secret in found if "DeletedDate" not in secret]
    for each in payload.get("Filters") or ():
        found = [secret for secret in found if _passes(secret, each)]
    found = sorted(found, key=lambda secret: secret.get(sort, 0), reverse=order == "desc")
    names = [secret["Name"] for secret in found]
    begin = _begin(payload.get("NextToken"), names)
    more = begin + size < len(found)
    after = base64.b64encode(names[begin + size - 1].encode()).decode() if more else None
    return found[begin : begin + size], after


def _passes(secret: Json, asked: object) -> bool:
    """Whether a filter lets a secret through: any of its values begins one of the texts."""
    key = asked.get("Key") if isinstance(asked, dict) else None
    texts = _FILTERS.get(str(key))
    if texts is None or not isinstance(asked, dict):
        raise invalid(f"local_aws filters by {', '.join(_FILTERS)} only.")
    return any(
        any(text.startswith(value.removeprefix("!")) for text in texts(secret))
        != value.startswith("!")
        for value in map(str, asked.get("Values") or ())
    )


def _begin(token: object, names: list[str]) -> int:
    if not token:
        return 0
    try:
        return names.index(base64.b64decode(str(token), validate=True).decode()) + 1
    except (ValueError, binascii.Error):
        raise SecretsError(
            "InvalidNextTokenException", "The NextToken is not one of ours."
        ) from None


def _is_unicode(content: str) -> bool:
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True
