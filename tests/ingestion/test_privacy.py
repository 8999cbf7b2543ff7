from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ingestion import ConfigError, Settings
from ingestion.privacy import Pseudonyms
from tests.ingestion.envelopes import PSEUDONYM_KEY, pseudonym


def test_of_is_hmac_sha256_under_the_key():
    pseudonyms = Pseudonyms(PSEUDONYM_KEY)

    for text in ("a", "", "7", "\u00e9", "a" * 10_000):
        assert pseudonyms.of(text) == pseudonym(text)


def test_of_depends_on_the_key():
    assert Pseudonyms(bytes(32)).of("a") != Pseudonyms(PSEUDONYM_KEY).of("a")


def test_from_file_reads_64_hex_digits(tmp_path: Path):
    (tmp_path / "key").write_text("5A" * 32 + "\n")

    assert Pseudonyms.from_file(tmp_path / "key").of("a") == pseudonym("a")


@pytest.mark.parametrize("content", [b"", b"5a", b"5a" * 33, b"canary!" * 10, b"\xff" * 64])
def test_from_file_refuses_anything_else_and_shows_nothing_of_it(content: bytes, tmp_path: Path):
    (tmp_path / "key").write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        Pseudonyms.from_file(tmp_path / "key")

    assert "canary" not in str(caught.value)


def test_from_file_says_that_there_is_none(tmp_path: Path):
    with pytest.raises(ConfigError, match="Set PSEUDONYM_KEY_FILE"):
        Pseudonyms.from_file(tmp_path / "absent")


def test_of_settings_takes_the_key_from_a_file_or_the_variable(
    make_settings: Callable[..., Settings],
):
    made = make_settings()
    variable = make_settings(PSEUDONYM_KEY_FILE="", PSEUDONYM_KEY="5a" * 32)

    assert Pseudonyms.of_settings(made).of("a") == pseudonym("a")
    assert Pseudonyms.of_settings(variable).of("a") == pseudonym("a")
    with pytest.raises(ConfigError, match="Set PSEUDONYM_KEY_FILE, PSEUDONYM_KEY or"):
        Pseudonyms.of_settings(replace(made, pseudonym_key_file=None))


def test_parse_takes_digits_in_groups_and_names_the_place_of_anything_else():
    assert Pseudonyms.parse(" ".join(["5A5a"] * 16)).of("a") == pseudonym("a")
    for wrong in ("canary", "5a" * 31 + "5", "0x" + "5a" * 31, "\u0665" * 64):
        with pytest.raises(ConfigError, match="The variable X must hold 64 hex digits") as caught:
            Pseudonyms.parse(wrong, "The variable X")
        assert wrong not in str(caught.value)
