"""Errors of the Athena API.

AthenaApiError, with ``code`` being Athena's own:
├── InvalidRequestException     the request is wrong       fix it
├── ResourceNotFoundException   no such prepared statement
└── MetadataException           no such database or table
"""

from __future__ import annotations

from typing import Any


class AthenaApiError(Exception):
    """An answer that Athena itself would give; ``extra`` goes into the body."""

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extra = extra


def invalid_request(message: str) -> AthenaApiError:
    """InvalidRequestException."""
    return AthenaApiError("InvalidRequestException", message, AthenaErrorCode="INVALID_INPUT")


def not_found(message: str) -> AthenaApiError:
    """ResourceNotFoundException."""
    return AthenaApiError("ResourceNotFoundException", message)


def metadata_error(message: str) -> AthenaApiError:
    """MetadataException."""
    return AthenaApiError("MetadataException", message)
