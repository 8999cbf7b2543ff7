"""Errors of the Secrets Manager API.

SecretsError, with ``code`` being Secrets Manager's own:
├── ResourceNotFoundException   there is no such secret, version or label
├── ResourceExistsException     there is one already, or the token stands for another value
├── InvalidRequestException     not in this state: marked for deletion, label elsewhere
├── InvalidParameterException   the request makes no sense
├── InvalidNextTokenException   the page's token is none of ours
└── ValidationException         a value is longer or stranger than the API's model allows

No message quotes a secret's value.
"""

from __future__ import annotations


class SecretsError(Exception):
    """An answer that Secrets Manager itself would give."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> SecretsError:
    """InvalidParameterException."""
    return SecretsError("InvalidParameterException", message)


def wrong_state(message: str) -> SecretsError:
    """InvalidRequestException."""
    return SecretsError("InvalidRequestException", message)


def not_found(message: str) -> SecretsError:
    """ResourceNotFoundException."""
    return SecretsError("ResourceNotFoundException", message)


def exists(message: str) -> SecretsError:
    """ResourceExistsException."""
    return SecretsError("ResourceExistsException", message)


def not_valid(message: str) -> SecretsError:
    """ValidationException."""
    return SecretsError("ValidationException", message)
