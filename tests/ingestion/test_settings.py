import re
from pathlib import Path

import pytest

from ingestion import ConfigError, Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LEAST = {
    "SOURCE_URL": "https://logs.example.com/api/data/log",
    "FERNET_KEYS_FILE": "/run/secrets/fernet.keys",
    "PSEUDONYM_KEY_FILE": "/run/secrets/pseudonym.key",
}
READ_BY_OTHERS = {
    "ATHENA_POLL_INTERVAL": "dbt",
    "AWS_ACCESS_KEY_ID": "boto3",
    "AWS_SECRET_ACCESS_KEY": "boto3",
    "DBT_PROFILES_DIR": "dbt",
}


def test_from_env_needs_three_variables_and_defaults_the_others():
    settings = Settings.from_env(LEAST)

    assert settings.source_paging == "window"
    assert settings.source_false_z is True
    assert settings.source_consecutive_ids is True
    assert settings.lake_bucket == "daylight-lake"
    assert settings.aws_endpoint_url is None


def test_from_env_reports_everything_that_is_missing_at_once():
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"SOURCE_URL": " "})

    assert (
        "Missing environment variables: SOURCE_URL, FERNET_KEYS_FILE or FERNET_KEYS or "
        "FERNET_KEYS_SECRET, PSEUDONYM_KEY_FILE or PSEUDONYM_KEY or PSEUDONYM_KEY_SECRET"
        in str(caught.value)
    )
    assert ".env.example" in str(caught.value)


def test_from_env_reports_missing_and_wrong_together():
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"SOURCE_URL": "ftp://x", "SOURCE_PAGING": "pages", "LAKE_BUCKET": "b"})

    for name in ("FERNET_KEYS_FILE", "PSEUDONYM_KEY_FILE", "SOURCE_URL", "SOURCE_PAGING"):
        assert name in str(caught.value)


@pytest.mark.parametrize("secret", ["FERNET_KEYS", "PSEUDONYM_KEY"])
def test_from_env_takes_a_secret_from_one_of_three_places_and_shows_it_in_none(secret: str):
    ways = {f"{secret}_FILE": "/x", secret: "key-canary", f"{secret}_SECRET": "arn:x"}
    others = {name: value for name, value in LEAST.items() if not name.startswith(secret)}

    for name, value in ways.items():
        settings = Settings.from_env(others | dict.fromkeys(ways, "") | {name: value})

        assert str(getattr(settings, name.lower())) == value
        assert "canary" not in repr(settings)
        for other in ways.keys() - {name}:
            assert getattr(settings, other.lower()) is None


@pytest.mark.parametrize("secret", ["FERNET_KEYS", "PSEUDONYM_KEY"])
@pytest.mark.parametrize("absent", ["", "_FILE", "_SECRET"])
def test_from_env_refuses_a_secret_from_two_places(secret: str, absent: str):
    ways = {f"{secret}{end}": "canary" for end in ("", "_FILE", "_SECRET") if end != absent}
    others = {name: value for name, value in LEAST.items() if not name.startswith(secret)}

    with pytest.raises(ConfigError, match="Set only one of") as caught:
        Settings.from_env(others | ways)

    for name in ways:
        assert name in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOURCE_CONSECUTIVE_IDS", "1"),
        ("SOURCE_URL", "file:///etc/passwd"),
        ("SOURCE_URL", "http://"),
        ("SOURCE_URL", "http://user:secret@host/"),
        ("SOURCE_URL", "http://host/?a=b"),
        ("SOURCE_PAGING", "Window"),
        ("SOURCE_PAGE_LIMIT", "0"),
        ("SOURCE_PAGE_LIMIT", "1e3"),
        ("SOURCE_TIME_ZONE", "Korea/Seoul"),
        ("SOURCE_TIME_ZONE", "../../etc/passwd"),
        ("SOURCE_FALSE_Z", "yes"),
        ("METRIC_TIME_ZONE", "KST+9"),
        ("LAKE_BUCKET", "s3://bucket"),
    ],
)
def test_from_env_refuses_values_that_could_not_work(name: str, value: str):
    with pytest.raises(ConfigError, match=name) as caught:
        Settings.from_env(LEAST | {name: value})

    assert "secret" not in str(caught.value).replace("/run/secrets", "")


def test_from_env_takes_the_region_from_either_variable():
    assert Settings.from_env(LEAST | {"AWS_DEFAULT_REGION": "eu-west-1"}).aws_region == "eu-west-1"
    both = LEAST | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "ap-northeast-2"}
    assert Settings.from_env(both).aws_region == "ap-northeast-2"


def test_env_example_names_every_variable_that_settings_read_with_a_comment():
    text = EXAMPLE.read_text()
    named = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))

    missing = set(Settings.variables()) - named
    assert not missing, f"Add to .env.example, with a comment: {sorted(missing)}"
    surplus = named - set(Settings.variables()) - READ_BY_OTHERS.keys()
    assert not surplus, (
        f"Remove from .env.example, or say in READ_BY_OTHERS who reads it: {sorted(surplus)}"
    )


def test_env_example_works_as_it_stands():
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#")
    settings = Settings.from_env(dict(line.split("=", 1) for line in lines))

    assert settings.source_url == "http://127.0.0.1:4567/api/data/log"
