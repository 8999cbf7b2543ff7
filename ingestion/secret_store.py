"""Reads secrets from AWS Secrets Manager. Knows no key, and keeps nothing that it read."""

import contextlib
import logging
from collections.abc import Iterator
from typing import cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from ingestion.errors import ConfigError, LakeUnavailable
from ingestion.settings import Settings

_ADVICE = {
    "ResourceNotFoundException": "there is no such secret, or it has no value yet",
    "AccessDeniedException": "its policy must allow secretsmanager:GetSecretValue, and "
    "kms:Decrypt where the secret has a key of its own",
    "DecryptionFailure": "its KMS key is disabled, or the role may not use it",
    "InvalidRequestException": "it is marked for deletion; restore it, or name another",
}


def read(settings: Settings, name: str, variable: str) -> str:
    """Return the current text of a secret; ``name`` may be its ARN, ``variable`` is who named it.

    Raises:
        ConfigError: if there is none, we may not read it, or it holds no text.
        LakeUnavailable: if Secrets Manager did not answer.
    """
    config = Config(
        retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=10
    )
    client = boto3.session.Session(region_name=settings.aws_region).client(
        "secretsmanager", endpoint_url=settings.aws_endpoint_url, config=config
    )
    asked = f"the secret {name} in {settings.aws_region} ({variable})"
    with _translated(asked), _unlogged():
        answer = client.get_secret_value(SecretId=name)
    if "SecretBinary" in answer:
        raise ConfigError(f"AWS holds no text for {asked}. Store it as SecretString, not as bytes.")
    if not answer.get("SecretString"):
        raise LakeUnavailable(
            f"What answered for {asked} is not Secrets Manager. Look at AWS_ENDPOINT_URL and at "
            "proxies on the way; run again."
        )
    return cast(str, answer["SecretString"])


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keep botocore from logging the answer, whatever level the operator has asked for."""
    parsers = logging.getLogger("botocore.parsers")
    before = parsers.level
    parsers.setLevel(logging.INFO)
    try:
        yield
    finally:
        parsers.setLevel(before)


@contextlib.contextmanager
def _translated(asked: str) -> Iterator[None]:
    """Turn boto's errors into ours."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status >= 500 or status == 429 or "Throttl" in code or code == "InternalServiceError":
            raise LakeUnavailable(
                f"AWS could not give {asked}: {code} ({status}). Run again."
            ) from None
        advice = _ADVICE.get(code, "check the name, the region and the credentials")
        raise ConfigError(f"AWS would not give {asked}: {code} ({status}); {advice}.") from None
    except NoCredentialsError:
        raise ConfigError(
            f"There are no AWS credentials to read {asked} with. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run where a role gives them."
        ) from None
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise LakeUnavailable(
            f"AWS could not give {asked}: {type(error).__name__}. Is AWS_ENDPOINT_URL right, and "
            "is it up? Run again then."
        ) from None
