"""Digests made together are those made one by one."""

import base64
import hmac
import json

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ingestion import records
from ingestion.digests import plaintext_digests
from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from ingestion.records import Rules
from ingestion.texts import spell
from ingestion.times import SourceClock
from tests.ingestion.envelopes import PSEUDONYM_KEY, STRANGER, envelope, population, seal

NEW, OLD = Fernet.generate_key().decode(), Fernet.generate_key().decode()
RULES = Rules(KeyRing([NEW, OLD]), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True))


def unpadded(end: bytes) -> str:
    """Return a token that is signed rightly, and whose plaintext was padded wrongly or not."""
    secret, iv = base64.urlsafe_b64decode(NEW), bytes(16)
    aes = Cipher(algorithms.AES(secret[16:]), modes.CBC(iv)).encryptor()
    body = b"\x80" + (1_790_000_000).to_bytes(8, "big") + iv + aes.update(b"z" * 63 + end)
    return base64.urlsafe_b64encode(body + hmac.digest(secret[:16], body, "sha256")).decode()


@pytest.mark.parametrize("count", [0, 1, 15, 40, 1_500])
def test_digests_made_together_are_those_made_one_by_one(count: int):
    items = population([NEW, OLD], count, seed=count)
    strange = [
        {},
        {"data": None},
        {"data": ""},
        {"data": 5},
        {"data": "=" * 500},
        "text",
        [1],
        None,
    ]
    strange += [envelope(NEW, 1, b"x" * length) for length in range(40)]
    strange += [envelope(NEW, 1, data=seal(STRANGER, "y" * 200)) for _ in range(40)]
    strange += [envelope(NEW, 1, data=unpadded(end)) for end in [b"\0", b"\x11", b"\2", b"\1"] * 20]
    hurt = [envelope(NEW, 2) for _ in range(64)]
    for place, item in enumerate(hurt):
        token = item["data"]
        item["data"] = (
            token[: place * 3] + ("A" if token[place * 3] != "A" else "B") + token[place * 3 + 1 :]
        )
    everything = [*items, *strange, *hurt] if count else []
    texts = {number: spell(item) for number, item in enumerate(everything)}

    made = plaintext_digests(texts, RULES)

    one_by_one = {
        number: digest
        for number, text in texts.items()
        if (digest := records.plaintext_digest(json.loads(text), RULES)) is not None
    }
    assert made == one_by_one
    assert len(made) >= count // 2
