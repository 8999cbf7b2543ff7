"""Fixtures that every folder of tests may use: a real S3 and Glue, and settings on a fresh lake."""

import os
import secrets
from collections.abc import Callable, Iterator

import pytest
from cryptography.fernet import Fernet

from ingestion import Settings
from laptop import aws_descriptions
from tests import servers

aws_descriptions.share()


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start local_aws on a free port and an empty folder, and yield its address."""
    folder = tmp_path_factory.mktemp("local_aws")
    with servers.local_aws(folder) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield url


@pytest.fixture(scope="session")
def fernet_key() -> str:
    """One Fernet key, made for this session."""
    return Fernet.generate_key().decode()


@pytest.fixture
def make_settings(
    tmp_path_factory: pytest.TempPathFactory, fernet_key: str
) -> Callable[..., Settings]:
    """Return a maker of Settings with key files of their own; no server is needed for them."""
    folder = tmp_path_factory.mktemp("secrets")
    keys = folder / "fernet.keys"
    keys.write_text(f"{fernet_key}\n")
    pseudonym = folder / "pseudonym.key"
    pseudonym.write_text("5a" * 32)

    def make(**variables: str) -> Settings:
        tag = secrets.token_hex(4)
        return Settings.from_env(
            {
                "SOURCE_URL": "http://127.0.0.1:9/api/data/log",
                "FERNET_KEYS_FILE": str(keys),
                "PSEUDONYM_KEY_FILE": str(pseudonym),
                "LAKE_BUCKET": f"lake-{tag}",
                "RAW_DATABASE": f"raw_{tag}",
                "WAREHOUSE_SCHEMA": f"warehouse_{tag}",
                "AWS_ENDPOINT_URL": os.environ.get("AWS_ENDPOINT_URL", ""),
                **variables,
            }
        )

    return make


@pytest.fixture
def lake_settings(local_aws: str, make_settings: Callable[..., Settings]) -> Settings:
    """Settings on a bucket and databases of this test's own, with one Fernet key."""
    return make_settings(AWS_ENDPOINT_URL=local_aws)
