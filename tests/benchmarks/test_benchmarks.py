"""The benchmark's smallest form: that it measures what it says, never how fast anything is."""

import base64
import gzip
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from benchmarks import contenders, data, floor, stages
from tests.ingestion.envelopes import envelope, plaintext

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("bench")
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tiny", "--out", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads((out / "bench.json").read_text()), out


def test_the_last_line_has_every_figure(finished: tuple[str, dict[str, Any], Path]):
    said, _, _ = finished

    assert re.fullmatch(
        r"bench: vs_original=[\d.]+ vs_original_json=[\d.]+ vs_floor=[\d.]+ rss_mb=\d+ "
        r"two_processes=[\d.]+ bytes_ratio=[\d.]+",
        said.splitlines()[-1],
    )


def test_the_result_names_the_machine_and_holds_every_part(
    finished: tuple[str, dict[str, Any], Path],
):
    _, result, _ = finished

    assert {"cpu", "cores", "python", "openssl", "pyarrow"} <= result["machine"].keys()
    assert len(result["cpu_ns"]) == 10
    assert all(value > 0 for value in result["cpu_ns"].values())
    for one in result["floor"].values():
        assert list(one["parts"]) == list(one["parts with values"]) == list(floor.PARTS)
        assert one["floor"] == pytest.approx(sum(one["parts"].values()))
        assert one["floor"] <= one["floor with values"]
    assert [size["records"] for size in result["sizes"]] == [1_000, 2_000]
    assert result["lake"]["landed"]["days"] == 35
    assert result["lake"]["compacted"]["records"] == result["lake"]["landed"]["records"]
    for name in ("landed", "compacted"):
        assert 0 < result["lake"][name]["scanned_share"] <= 0.02, (
            "a day is a 35th, two columns less"
        )


def test_the_plot_is_an_image_of_the_sizes(finished: tuple[str, dict[str, Any], Path]):
    _, result, out = finished

    root = ET.parse(out / "bench.svg").getroot()

    dots = [node for node in root.iter() if node.tag.endswith("circle")]
    assert len(dots) == 2 * len(result["sizes"])


def test_every_stage_is_still_a_function_of_ingestion(
    finished: tuple[str, dict[str, Any], Path],
):
    _, result, _ = finished

    named = {name for name, _, _ in stages.STAGES}
    # What goes one at a time does so only where something is bad.
    optional = {"one at a time"}
    assert set(result["stages"]["repr"]) - {"all else"} | optional == named | optional


@pytest.fixture
def page(fernet_key: str) -> bytes:
    return json.dumps([envelope(fernet_key, n, plaintext(n)) for n in range(1, 301)]).encode()


def test_all_ways_of_a_part_do_the_same_work(page: bytes, fernet_key: str):
    ways = {f"{way.part} {way.name}": way.call for way in floor.ways([page], fernet_key, False)}

    tokens = [base64.urlsafe_b64decode(one["data"]) for one in json.loads(page)]
    macs = [token[-32:] for token in tokens]  # as whoever encrypted wrote them
    assert ways["MAC hmac.digest"]() == macs
    assert ways["MAC hashlib, keyed states copied"]() == macs
    assert ways["base64 binascii"]() == ways["base64 msgspec"]()
    assert [one.record_id for one in ways["plaintext msgspec, typed"]()] == list(range(1, 301))
    assert len(ways["plaintext msgspec, scanned"]()) == 300
    assert len(ways["page json"]()[0]) == len(ways["page msgspec, typed"]()[0]) == 300


def test_the_original_keeps_every_record(page: bytes, fernet_key: str):
    (body,) = contenders.original([page], Fernet(fernet_key), is_json=False)

    rows = json.loads(gzip.decompress(body))
    assert [row["record_id"] for row in rows] == list(range(1, 301))
    assert {len(row["user_id"]) for row in rows} == {44}
    assert {len(row["inDate"]) for row in rows} == {15}


def test_bad_tokens_are_as_many_as_it_says_and_ours_refuses_each(page: bytes, fernet_key: str):
    pages, count = data.with_bad_tokens([page], fernet_key, 0.2, seed=3)

    rows, refused, _ = contenders.ours(pages, contenders.rules(fernet_key))

    assert (rows, refused) == (300, count)
    assert 30 < count < 90
